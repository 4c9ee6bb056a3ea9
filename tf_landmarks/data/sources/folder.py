"""Image files: those of a folder, of a list or of a pattern, or one alone."""

import concurrent.futures
import itertools
import os

import numpy as np

from tf_landmarks.data import frame_names, image_files, stacks
from tf_landmarks.data.sources import base, listing
from tf_landmarks.data.sources.frame_pattern import parse_names
from tf_landmarks.errors import UserError


class ImageFolder(base.Source):
    """Every image file that is asked for, and every page of a stack or frame of an animation.

    Pages are named like frames of videos, `cells.tif#000003`, and are neighbours as these are; a file
    of one page has its plain name. What is missing of a stack is one unreadable element.

    Args:
        request: What is asked for; there are files of that name.

    Raises:
        UserError: If there is no image, or a pattern or choice of frames does not fit.
    """

    of_files = True

    @classmethod
    def matches(cls, request: base.Request) -> bool:
        """Takes whatever is there, also to say what is wrong with it."""
        return request.listing is not None

    @classmethod
    def open(cls, request: base.Request) -> "ImageFolder":
        return cls(request)

    def __init__(self, request: base.Request):
        self.root = request.listing.root
        files = [name for name in request.listing.names if image_files.is_image(name)]
        if not files:
            raise _no_images(request)
        request.say_passed_over(files)
        self._stacks = self._open_stacks(files)
        if not self._stacks:
            request.refuse_frames()
        self.names, self._pages, self.unreadable = [], [], {}
        places, chosen = [], request.frame_slice
        for number, file in enumerate(files):
            stack = self._stacks.get(file)
            pages = stack.numbers[chosen] if stack else [None]
            self.names += [file if p is None else frame_names.frame_name(file, p) for p in pages]
            self._pages += [(file, page) for page in pages]
            places += [(number, page or 0) for page in pages]
            if stack and stack.flaw and not request.frames:
                self.unreadable[len(self.names)] = stack.flaw
                self.names.append(file)
                self._pages.append((file, None))
                places.append((-1 - number, 0))  # alone in its sequence
        if not self.names:
            raise UserError(
                f"--frames={request.frames} leaves no page of {request.flag}={request.data}, of whose "
                f"files the longest has {max(map(len, self._stacks.values()))}"
            )
        if request.frame_pattern:
            self.sequences, self.frame_numbers = parse_names(self.names, request.frame_pattern)
        elif self._stacks:
            self.sequences, self.frame_numbers = np.array(places, np.int64).T

    def read(self, index: int) -> np.ndarray:
        if index in self.unreadable:
            raise image_files.UnreadableImageError(self.unreadable[index])
        file, page = self._pages[index]
        if page is not None:
            return self._stacks[file].read(page)
        return image_files.read_image(os.path.join(self.root, file))

    def _open_stacks(self, files: list[str]) -> dict[str, stacks.Stack]:
        """The files that hold more than one image, by name."""

        def open_some(names: list[str]) -> list[stacks.Stack | None]:
            return [stacks.open_stack(os.path.join(self.root, name)) for name in names]

        some = [file for file in files if image_files.may_hold_many(file)]
        parts = [some[start : start + 256] for start in range(0, len(some), 256)]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            opened = itertools.chain.from_iterable(pool.map(open_some, parts))
            return {file: stack for file, stack in zip(some, opened, strict=True) if stack}


def _no_images(request: base.Request) -> UserError:
    if request.is_file and listing.ending(request.data) != listing.LIST:
        return UserError(
            f"{request.flag}={request.data} is a file, and neither an image nor a video, by its ending; "
            f"it takes these, a folder of them, or a {listing.LIST} that lists them"
        )
    return UserError(
        f"{request.flag}={request.data} holds no image or video (found: {request.listing.counts()}); it "
        "should hold files such as .jpg, .png or .tif, or videos such as .mp4, at any depth"
    )
