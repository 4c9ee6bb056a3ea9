"""Image files to pixels: one decoder for training, prediction and evaluation.

Pillow reads JPEG (grey, RGB, CMYK), PNG (1 to 16 bits, palette, alpha), GIF, BMP, WebP and TIFF, says so
when a file is cut short, and releases Python's lock while it decodes.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")

# Those of the kinds that can hold many images: pages of a stack, frames of an animation.
_MANY = (".tif", ".tiff", ".gif", ".webp", ".png")


class UnreadableImageError(Exception):
    """A file that is not a whole image; the message gives the reason in a few words."""


def may_hold_many(name: str) -> bool:
    """Returns whether a file of this name can hold more than one image."""
    return name.lower().endswith(_MANY)


def read_image(path: str) -> np.ndarray:
    """Reads an image file upright.

    Args:
        path: A file in one of the formats above.

    Returns:
        `[H, W, 3]` uint8 RGB: EXIF rotation applied, grey repeated, alpha composited over white,
        the upper byte of 16-bit values, CMYK converted, the first frame of an animation.

    Raises:
        UnreadableImageError: If it cannot be opened or decoded as a whole, or is under 2 pixels.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    return decode_image(data)


def decode_image(data: bytes) -> np.ndarray:
    """Decodes the bytes of an image file; see `read_image`."""
    if not data:
        raise UnreadableImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if data.startswith(b"\x89PNG"):
                with Image.open(io.BytesIO(data)) as image:
                    image.verify()  # the checksums, which Pillow skips when it decodes
            with Image.open(io.BytesIO(data)) as image:
                pixels = np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them raise.
        raise UnreadableImageError(_reason(error)) from error
    if min(pixels.shape[:2]) < 2:
        raise UnreadableImageError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels are too few")
    return pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
        upper = np.asarray(image, np.int64).clip(0, 65535) >> 8
        return Image.fromarray(upper.astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image, or damaged at its start"
    return str(error).strip() or type(error).__name__
