"""Pieces of an HTML page that needs no other file. Arguments named `words` are plain text."""

import base64
import html
import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tf_landmarks.visualize import overlays

DENSITY = 2  # pixels of a picture per pixel of the page: sharp on fine screens and on paper

# Text stays text, in the page's font; a fixed salt gives the same page for the same result.
_SVG_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "tf_landmarks"}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def text(words: object) -> str:
    """Plain text as HTML."""
    return html.escape(str(words))


def image_tag(picture: np.ndarray, words: str, density: float = DENSITY, photo=True) -> str:
    """An `<img>` that holds its picture.

    Args:
        picture: `[H, W, 3]` uint8 RGB.
        words: What it shows, for readers who cannot see it.
        density: Pixels of the picture per pixel of the page.
        photo: JPEG; otherwise PNG, exact and small for flat colours.
    """
    buffer = io.BytesIO()
    if photo:  # full chroma, without which small coloured markers go grey
        Image.fromarray(picture).save(buffer, "JPEG", quality=85, subsampling=0, optimize=True)
    else:
        Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    height, width = (max(1, round(length / density)) for length in picture.shape[:2])
    return (
        f'<img src="data:image/{"jpeg" if photo else "png"};base64,{data}" width="{width}" '
        f'height="{height}" alt="{text(words)}">'
    )


def chart_tag(figure: Figure, words: str) -> str:
    """An `<svg>` of a matplotlib figure; `words` say what it shows, as for `image_tag`."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_SVG_STYLE):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]  # an XML prolog may not stand inside a page
    return svg.replace("<svg", f'<svg role="img" aria-label="{text(words)}"', 1)


def marker_tag(index: int) -> str:
    """The marker of a landmark, of the size of a letter."""
    picture = overlays.draw_marker(index, 16 * DENSITY)
    return image_tag(picture, f"marker of landmark {index}", photo=False)


def bar(share: float) -> str:
    """A bar that fills a share of its place, from 0 to 1."""
    return f'<span class="bar"><span style="width:{100 * share:.1f}%"></span></span>'


def caption(words: str) -> str:
    """What to look for in a panel."""
    return f'<p class="caption">{text(words)}</p>'


def figure(content: str, words: str = "", first: str = "") -> str:
    """A picture or chart with words below it, the `first` of them bold."""
    bold = f"<b>{text(first)}</b> " if first else ""
    below = f"<figcaption>{bold}{text(words)}</figcaption>" if first or words else ""
    return f"<figure>{content}{below}</figure>"


def tiles(figures: Sequence[str], kind: str = "") -> str:
    """Figures side by side, as many in a row as there is room for."""
    return f'<div class="{kind} tiles">\n' + "\n".join(figures) + "\n</div>"


def matrix(rows: Sequence[Sequence[str]], names: Sequence[str]) -> str:
    """A table of pictures, each row with a name in front."""
    lines = [
        f"<tr><th>{text(name)}</th>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        for name, row in zip(names, rows, strict=True)
    ]
    return '<div class="scroll"><table class="matrix">\n' + "\n".join(lines) + "\n</table></div>"


def count(number: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
