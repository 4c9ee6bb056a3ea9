"""Pictures and charts as pieces of a page that needs no other file."""

import base64
import io

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from tf_landmarks.report.elements import Chart, Picture
from tf_landmarks.visualize import overlays

DENSITY = 2  # pixels of a picture per pixel of the page: sharp on fine screens and on paper

# Text stays text, in the page's font; a fixed salt gives the same page for the same result.
_SVG_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "tf_landmarks"}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def photo(image: np.ndarray, alt: str) -> Picture:
    """Encodes a photograph, with what is drawn over it, as JPEG.

    Args:
        image: `[H, W, 3]` uint8 RGB, `DENSITY` pixels per pixel of the page.
        alt: What it shows, for readers who cannot see it.
    """
    # Full chroma, without which small coloured markers go grey.
    options = {"quality": 85, "subsampling": 0, "optimize": True}
    return _picture(image, alt, DENSITY, "jpeg", options)


def drawing(image: np.ndarray, alt: str, density: int = DENSITY) -> Picture:
    """Encodes a picture of flat colours as PNG, which is exact and small for it.

    Args:
        image: `[H, W, 3]` uint8 RGB.
        alt: What it shows, for readers who cannot see it.
        density: Pixels of the picture per pixel of the page.
    """
    return _picture(image, alt, density, "png", {"optimize": True})


def marker(index: int) -> Picture:
    """Draws the marker of a landmark, of the size of a letter."""
    return drawing(overlays.draw_marker(index, 16 * DENSITY), f"marker of landmark {index}")


def chart(figure: Figure, label: str) -> Chart:
    """Draws a matplotlib figure as an `<svg>` element.

    Args:
        figure: The figure; matplotlib escapes its words.
        label: What it shows, for readers who cannot see it.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(_SVG_STYLE):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    svg = buffer.getvalue()
    # An XML prolog must not stand inside a page.
    return Chart(Markup(svg[svg.index("<svg") :]), label)


def _picture(image: np.ndarray, alt: str, density: int, form: str, options: dict) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    height, width = (max(1, round(length / density)) for length in image.shape[:2])
    return Picture(f"data:image/{form};base64,{data}", width, height, alt)
