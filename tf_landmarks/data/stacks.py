"""Files of many images: pages of a TIFF stack, frames of an animated GIF, WebP, PNG or AVIF."""

import os
import threading
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from tf_landmarks import run_directory
from tf_landmarks.data import image_files, pixel_depth, tiff
from tf_landmarks.data.image_files import UnreadableImageError

_thread = threading.local()


class Stack:
    """A file of many images, which are read by number, from any thread.

    Each thread keeps one file open, the one that it read last: pages in order cost no search.

    Attributes:
        numbers: The pages that are pictures of their own, no thumbnails or masks, ascending from 0.
        flaw: What is wrong with the file although pages can be read, or nothing.

    Args:
        path: The file. One that cannot be opened counts as one page, which cannot be read.
    """

    def __init__(self, path: str):
        self._path = path
        self.flaw, self._pages, self._scale = "", [], None
        self._lock = threading.Lock()
        try:
            count = self._count()
        except Exception:  # whatever a broken file makes of Pillow; reading it says what is wrong
            count = 1
        numbers = [page.number for page in self._pages if page.is_picture]
        self.numbers = numbers or list(range(max(1, count)))

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, number: int) -> np.ndarray:
        """Reads page or frame `number`; see `image_files.read_image`.

        Deep values are scaled alike in all pages, for which the first read looks at all of them.

        Raises:
            UnreadableImageError: If there is no such page, or it is damaged.
        """
        try:
            with image_files.plain_errors():
                image, page, values = self._load(number)
                if values is not None:
                    with self._lock:
                        self._scale = self._scale or self._choose_scale()
                return image_files.to_pixels(image, page, values, self._scale)
        except UnreadableImageError:
            self._close()  # an error may leave it anywhere
            raise

    def _count(self) -> int:
        """Counts the images without decoding any."""
        with open(self._path, "rb") as file:
            self._pages, stated = tiff.read_pages(file)
            if self._pages:
                if stated > len(self._pages):
                    self.flaw = f"{len(self._pages)} of {stated} pages can be read; save the rest as a plain TIFF"
                return len(self._pages)
        with Image.open(self._path) as image:
            return getattr(image, "n_frames", 1)

    def _load(self, number: int) -> tuple[Image.Image | None, tiff.Page | None, np.ndarray | None]:
        if number not in self.numbers:
            raise UnreadableImageError(
                f"the file has images {self.numbers[0]} to {self.numbers[-1]}"
            )
        page = self._pages[number] if self._pages else None
        image = self._image(number)
        if image is not None:
            image.seek(number)

        def by_opencv() -> np.ndarray | None:
            flags = cv2.IMREAD_UNCHANGED
            with run_directory.plain_path(self._path) as path:
                _, found = cv2.imreadmulti(path, start=number, count=1, flags=flags)
            return found[0] if found else None

        return image, page, image_files.deep_values(image, page, by_opencv)

    def _image(self, number: int) -> Image.Image | None:
        """The file as this thread has it open by Pillow, at or before an image; None where it cannot be."""
        stack, image = getattr(_thread, "opened", (None, None))
        # An animation is begun anew to go back: Pillow loses its way in a PNG.
        if stack is self and (self._pages or image.tell() <= number):
            return image
        self._close()
        try:
            image = Image.open(self._path)
        except Image.UnidentifiedImageError:
            if not self._pages:
                raise
            image = None
        _thread.opened = (self, image)
        return image

    def _close(self) -> None:
        _, image = getattr(_thread, "opened", (None, None))
        _thread.opened = (None, None)
        if image is not None:
            image.close()

    def _choose_scale(self) -> pixel_depth.Scale:
        return image_files.scale_of(self._all_values(), os.path.basename(self._path))

    def _all_values(self) -> Iterator[np.ndarray]:
        for number in self.numbers:
            try:
                *_, values = self._load(number)
            except Exception:  # a damaged page is named when it is read
                continue
            if values is not None:
                yield values


def open_stack(path: str) -> Stack | None:
    """Opens a file as a stack, if it holds more than one image; quick where it does not."""
    try:
        with open(path, "rb", buffering=0) as file:
            head = file.read(4096)
            pages = tiff.read_pages(file) if head[:2] in (b"II", b"MM") else ([], 0)
    except OSError:  # reading it says what is wrong
        return None
    if pages[1] < 2 and not _is_animated(head):
        return None
    stack = Stack(path)
    return stack if len(stack) > 1 or stack.flaw else None


def _is_animated(head: bytes) -> bool:
    """Returns whether a file that is no TIFF may hold more than one image, by its first 4096 bytes."""
    if head.startswith(b"\x89PNG"):
        # The number of frames stands before the pixels.
        position = 8
        while position + 8 <= len(head):
            kind = head[position + 4 : position + 8]
            if kind in (b"acTL", b"IDAT"):
                return kind == b"acTL"
            position += 12 + int.from_bytes(head[position : position + 4], "big")
        return len(head) == 4096  # it may come later
    if head.startswith(b"RIFF"):
        return head[8:16] == b"WEBPVP8X" and bool(head[20] & 0b10)
    return head.startswith(b"GIF8") or head[4:12] == b"ftypavis"
