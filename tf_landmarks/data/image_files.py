"""Image files to pixels: one decoder for training, prediction and evaluation.

Pillow reads them, says so when a file is cut short, and releases Python's lock while it decodes. TIFF of
deep colours, and PNG, is left to OpenCV, as Pillow keeps the upper bytes alone.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image, ImageOps

from tf_landmarks.data import pixel_depth, tiff

#: Endings of what is read, in any case; the only list. What a file is, its content says.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp"),
    *(".tif", ".tiff", ".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".pfm", ".tga", ".pcx", ".qoi", ".ico"),
)
# Those of the kinds that can hold many images: pages of a stack, frames of an animation.
_MANY = (".tif", ".tiff", ".gif", ".webp", ".png", ".apng", ".avif")

_ORIENTATION = 274


class UnreadableImageError(Exception):
    """A file that is not a whole image; the message gives the reason in a few words."""


def is_image(name: str) -> bool:
    """Returns whether a file's name ends like an image's."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def may_hold_many(name: str) -> bool:
    """Returns whether a file of this name can hold more than one image."""
    return os.path.splitext(name)[1].lower() in _MANY


def read_image(path: str) -> np.ndarray:
    """Reads an image file upright.

    Args:
        path: A file of one of the kinds above.

    Returns:
        `[H, W, 3]` uint8 RGB: EXIF rotation applied, grey repeated, alpha composited over white,
        more than 8 bits as pixel_depth.py says, CMYK converted, the first page or frame of many.

    Raises:
        UnreadableImageError: If it cannot be opened or decoded as a whole, or is under 2 pixels.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    return decode_image(data, os.path.basename(path))


def decode_image(data: bytes, name: str = "an image") -> np.ndarray:
    """Decodes the bytes of an image file; see `read_image`.

    Args:
        data: The bytes.
        name: What to call it in a log line.
    """
    if not data:
        raise UnreadableImageError("the file is empty")
    with plain_errors(data[:64]):
        if data.startswith(b"\x89PNG"):
            with Image.open(io.BytesIO(data)) as image:
                image.verify()  # the checksums, which Pillow skips when it decodes
        pages, _ = tiff.read_pages(io.BytesIO(data))
        page = pages[0] if pages else None
        with open_image(io.BytesIO(data), page) as image:
            values = deep_values(
                image,
                page,
                lambda: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED),
            )
            scale = None if values is None else scale_of([values], name)
            return to_pixels(image, page, values, scale)


@contextlib.contextmanager
def plain_errors(head: bytes = b"") -> Iterator[None]:
    """Turns what decoders raise into UnreadableImageError.

    Args:
        head: The first bytes of the file, which may tell what it is instead.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them raise.
        raise UnreadableImageError(_reason(error, head)) from error


@contextlib.contextmanager
def open_image(file, page: tiff.Page | None) -> Iterator[Image.Image | None]:
    """Opens an image by Pillow; None for a TIFF that only OpenCV may read."""
    try:
        image = Image.open(file)
    except Image.UnidentifiedImageError:
        if page is None:
            raise
        yield None
        return
    with image:
        yield image


def deep_values(
    image: Image.Image | None, page: tiff.Page | None, by_opencv: Callable[[], np.ndarray | None]
) -> np.ndarray | None:
    """Reads the values of an image of more than 8 bits, or of other numbers than bytes.

    Args:
        image: At its page; None where Pillow cannot open it.
        page: Of a TIFF.
        by_opencv: Decodes the same page.

    Returns:
        `[H, W]`, or `[H, W, 3 or 4]` RGB(A); None for an image of bytes.

    Raises:
        UnreadableImageError: If its kind is not read; says what would be.
    """
    if image is None or _is_deep_color(image, page):
        values = by_opencv() if image is not None or _is_for_opencv(page) else None
        if values is None:
            raise UnreadableImageError(_advice(page) if page else "its colors cannot be decoded")
        return values if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]
    if page and page.kind == tiff.SIGNED and page.bits == 8 and image.mode == "L":
        return np.asarray(image).view(np.int8)
    if not image.mode.startswith(("I", "F")):
        return None
    values = np.asarray(image)
    if page and page.bits == 32 and page.kind == tiff.UNSIGNED and values.dtype == np.int32:
        return values.view(np.uint32)
    return values


def scale_of(pages: Iterator[np.ndarray], name: str) -> pixel_depth.Scale:
    """Chooses the scale of all pages of a file.

    Raises:
        UnreadableImageError: If no value is finite.
    """
    found, is_whole = [], True
    for values in pages:
        found.append(pixel_depth.limits(values[..., :3] if values.ndim == 3 else values))
        is_whole &= values.dtype.kind in "iu"
    found = [limits for limits in found if limits]
    if not found:
        raise UnreadableImageError("none of its values is a finite number")
    least, largest = min(low for low, _ in found), max(high for _, high in found)
    scale = pixel_depth.choose(least, largest, is_whole)
    pixel_depth.say(name, least, largest, scale)
    return scale


def to_pixels(
    image: Image.Image | None,
    page: tiff.Page | None,
    values: np.ndarray | None,
    scale: pixel_depth.Scale | None,
) -> np.ndarray:
    """Returns an image as `read_image` does; its deep values by a scale, if it has some."""
    picture = image
    if values is not None:
        picture = Image.fromarray(_to_bytes(values, page, scale))
        # The values of a TIFF are upright, whoever decodes them.
        if page is None and _ORIENTATION in image.getexif():
            picture.getexif()[_ORIENTATION] = image.getexif()[_ORIENTATION]
    pixels = np.asarray(_to_rgb(ImageOps.exif_transpose(picture)))
    if min(pixels.shape[:2]) < 2:
        raise UnreadableImageError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels are too few")
    return pixels


def _to_bytes(values: np.ndarray, page: tiff.Page | None, scale: pixel_depth.Scale) -> np.ndarray:
    if values.ndim == 3 and values.shape[2] == 4:
        whole = values.dtype.kind in "iu"
        unit = (float(np.iinfo(values.dtype).max) + 1) / 256 if whole else 1 / 255
        alpha = pixel_depth.to_bytes(values[..., 3:], pixel_depth.Scale(0, unit, ""))
        return np.concatenate([pixel_depth.to_bytes(values[..., :3], scale), alpha], axis=-1)
    grey = pixel_depth.to_bytes(values, scale)
    return 255 - grey if page and page.photometric == 0 and values.ndim == 2 else grey


def _is_deep_color(image: Image.Image, page: tiff.Page | None) -> bool:
    if page:
        return page.bits > 8 and page.photometric == 2 and page.channels in (3, 4)
    # Of a PNG the tile names what is stored, "RGB;16B", where the mode names what Pillow makes of it.
    return (
        image.format == "PNG"
        and any(";16" in str(t.args) for t in image.tile)
        and (image.mode in ("RGB", "RGBA", "LA"))
    )


def _is_for_opencv(page: tiff.Page) -> bool:
    known = [
        (16, tiff.UNSIGNED),
        (16, tiff.SIGNED),
        (32, tiff.SIGNED),
        (32, tiff.FLOAT),
        (64, tiff.FLOAT),
    ]
    return page.channels in (1, 3, 4) and (page.bits, page.kind) in known


def _advice(page: tiff.Page) -> str:
    kind = "float" if page.kind == tiff.FLOAT else "whole"
    return (
        f"a TIFF of {page.channels} x {page.bits} bits a pixel, {kind} numbers, is not read; save it "
        "with 1 or 3 channels of 8 or 16 bits"
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception, head: bytes) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        for start, kind in _KNOWN.items():
            if head.startswith(start, 4) or head.startswith(start):
                return kind
        return "not an image, or damaged at its start"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * Image.MAX_IMAGE_PIXELS} pixels are too many; shrink it"
    return getattr(error, "strerror", None) or str(error).strip() or type(error).__name__


# What files hold that have an image's ending by mistake, by their first bytes, or those from the fifth.
_KNOWN = {
    **{
        b"ftyp" + b: "HEIC, which is not read; convert it to JPEG"
        for b in (b"hei", b"hev", b"mif1")
    },
    b"ftyp": "a video by its content; give it a video's ending",
    b"%PDF": "a PDF, which is not read; save its pages as PNG",
}
