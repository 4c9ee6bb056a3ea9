"""The sheet of tools/match.py: the reference with numbered points, and some images with what was found in them."""

import heapq

import numpy as np
from matplotlib.figure import Figure

from tf_landmarks import spread
from tf_landmarks.evaluation.point_transfer import Found
from tf_landmarks.evaluation.references import References
from tf_landmarks.visualize import overlays

COLUMNS = 4
_SPREAD, _WORST = 8, 4  # pictures
_REFERENCE_SIDE, _SIDE = 420, 260  # pixels
_DPI = 100
_LINES = 15  # of names, in each of three columns


class Sheet:
    """Gathers pictures as images are matched; it keeps few of them, shrunk to what is drawn.

    Args:
        references: Where the points are from.
        count: How many images there will be.
    """

    def __init__(self, references: References, count: int):
        self._references, self._seen = references, 0
        self._chosen = set(spread.evenly(count, _SPREAD).tolist())
        self._spread: list[tuple[str, np.ndarray]] = []
        self._worst: list[tuple[float, int, str, np.ndarray]] = []  # a heap, the best of them first

    def add(self, found: Found) -> None:
        """Looks at the next image."""
        number, self._seen = self._seen, self._seen + 1
        if not found.is_read:
            return
        off = float(found.share.max())
        is_worst = len(self._worst) < _WORST or off > self._worst[0][0]
        if not is_worst and number not in self._chosen:
            return
        picture = found.draw(_SIDE / max(found.row.size), 5)
        if number in self._chosen:
            self._spread.append((_caption(found, self._references), picture))
        if is_worst:
            entry = (off, -number, _caption(found, self._references), picture)
            push = heapq.heappush if len(self._worst) < _WORST else heapq.heappushpop
            push(self._worst, entry)

    def draw(self) -> Figure:
        """The sheet: the reference and its points' names, images spread over the data, those that agree least."""
        rows = -(-len(self._spread) // COLUMNS) + 1
        cell = _SIDE / _DPI
        tall = _REFERENCE_SIDE / _DPI + 0.4
        figure = Figure(
            figsize=(COLUMNS * cell + 0.4, tall + rows * (cell + 0.35)),
            dpi=_DPI,
            layout="constrained",
        )
        heights = [tall, *[cell + 0.35] * rows]
        grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=heights)
        self._draw_reference(figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2:]))
        worst = [(caption, picture) for *_, caption, picture in sorted(self._worst, reverse=True)]
        cells = [(1 + i // COLUMNS, i % COLUMNS, *one) for i, one in enumerate(self._spread)]
        cells += [
            (rows, i, f"agrees least: {words}", picture) for i, (words, picture) in enumerate(worst)
        ]
        for row, column, caption, picture in cells:
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(picture)
            axes.set_title(caption, fontsize=7)
            axes.set_axis_off()
        return figure

    def _draw_reference(self, axes, beside) -> None:
        references = self._references
        image = references.images[0]
        factor = _REFERENCE_SIDE / max(image.shape[:2])
        axes.imshow(overlays.draw_numbered(image, references.points[0], factor, 6))
        more = len(references.paths) - 1
        title = _short(references.paths[0]) + (f" and {more} more" if more else "")
        axes.set_title(f"reference: {title}", fontsize=9)
        for k, name in enumerate(references.names[: 3 * _LINES]):
            x, y = 0.02 + 0.33 * (k // _LINES), 0.98 - 0.055 * (k % _LINES)
            color = np.array(overlays.color(k)) / 255
            beside.text(x, y, f"{k}  {_short(name, 20)}", va="top", fontsize=9, color=color)
        note = (
            "filled: matched back into the reference, the point ends near where it began\n"
            "hollow: it does not, or another place is nearly as much like it\n"
            "below each picture's name: the point whose way back ends furthest off"
        )
        beside.text(0.02, 0.0, note, va="bottom", fontsize=8)
        for one in (axes, beside):
            one.set_axis_off()


def _caption(found: Found, references: References) -> str:
    worst = int(np.argmax(found.share))
    return f"{_short(found.name)}\n{_short(references.names[worst])}: {found.agreement[worst]:.1f} px apart"


def _short(name: str, most: int = 34) -> str:
    """The end of a name, without signs that would be set as formulas or cannot be drawn."""
    name = name.encode(errors="backslashreplace").decode().replace("$", r"\$")
    return name if len(name) <= most else f"...{name[3 - most :]}"
