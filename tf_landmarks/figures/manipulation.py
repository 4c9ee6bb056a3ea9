"""Moving landmarks of an exported model and drawing what comes of it (docs/lmdis.md, "Moving landmarks").

x(a) = x + a (target - x)    for chosen landmarks, the others stay
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from tf_landmarks.data import image_files, sources
from tf_landmarks.data.annotations import tables
from tf_landmarks.errors import UserError
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.visualize import grids, overlays, video_writer

_VISIBLE = 16.0  # grey levels of 255


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkEdit:
    """A picture and where its landmarks go.

    Attributes:
        image: `[S, S, 3]` uint8, the picture as the network sees it.
        start: `[K, 2]` (x, y) pixels of the input, where landmarks were found.
        end: `[K, 2]`, where they are at alpha 1; equal to `start` for those that stay.
    """

    image: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def at(self, alpha: float) -> np.ndarray:
        """Landmarks `[K, 2]` after a share of the way."""
        return self.start + alpha * (self.end - self.start)


def make_edit(
    model: ExportedModel,
    image: np.ndarray,
    target_image: np.ndarray | None,
    moves: str,
    chosen: Sequence[int],
) -> LandmarkEdit:
    """Finds the landmarks of a picture and their targets.

    Args:
        model: With a generator.
        image: `[H, W, 3]` uint8 RGB.
        target_image: A picture whose landmarks are the targets; or None, and `moves` has them.
        moves: A CSV, see `read_moves`; "" with `target_image`.
        chosen: The landmarks that move.

    Raises:
        UserError: If the model has no generator, or there is not one kind of targets.
    """
    if not model.has_generator:
        raise UserError(
            f"{model.path} is of method {model.facts['method']}, which has no generator and cannot redraw"
        )
    if (target_image is None) == (not moves):
        raise UserError("give either --target_image, a picture, or --moves, a table of targets")
    seen, start = _find(model, image)
    if target_image is not None:
        _, targets = _find(model, target_image)
    else:
        # Of the picture to the input: a table is made on the picture.
        origin, unit = (
            model.to_input_pixels(image.shape[:2], np.array([point]))
            for point in ((0.0, 0.0), (1.0, 1.0))
        )
        table, relative = read_moves(moves, model.num_landmarks)
        scale = unit - origin
        targets = start + table * scale if relative else table * scale + origin
        chosen = [k for k in chosen if np.isfinite(table[k]).all()]
    end = start.copy()
    end[list(chosen)] = targets[list(chosen)]
    return LandmarkEdit(seen, start, end)


def read_moves(path: str, num_landmarks: int) -> tuple[np.ndarray, bool]:
    """Reads targets of landmarks.

    Args:
        path: A table with the columns landmark, dx, dy, or landmark, x, y; pixels of the picture.
        num_landmarks: K.

    Returns:
        `[K, 2]` (x, y), NaN for landmarks that it does not name; and whether these are shifts.

    Raises:
        UserError: Naming the file and the row that cannot be used.
    """
    table = tables.read_table(pathlib.Path(path))
    header, *rows = table.rows
    columns = [name.lower() for name in header.cells]
    kinds = [names for names in (("dx", "dy"), ("x", "y")) if {"landmark", *names} <= set(columns)]
    if not kinds or not rows:
        raise UserError(
            f"--moves={path} needs rows, and the columns landmark, dx, dy or landmark, x, y"
        )
    places = [columns.index(name) for name in ("landmark", *kinds[0])]
    decimal = tables.decimal_mark(table, rows)
    targets = np.full((num_landmarks, 2), np.nan)
    for row in rows:
        row = dataclasses.replace(row, cells=[*row.cells, *[""] * len(columns)])
        landmark = row.cells[places[0]]
        index = int(landmark) if landmark.isdecimal() else -1
        values = [
            tables.read_number(table, row, place, name, decimal)
            for place, name in zip(places[1:], kinds[0], strict=True)
        ]
        if not 0 <= index < num_landmarks or not np.isfinite(values).all():
            raise UserError(
                f"{table.place(row)}: needs a landmark from 0 to {num_landmarks - 1} and two numbers, has "
                f"{','.join(row.cells[place] for place in places)}"
            )
        if np.isfinite(targets[index]).all():
            raise UserError(
                f"{table.place(row)}: moves landmark {index} a second time; keep one row"
            )
        targets[index] = values
    return targets, kinds[0] == ("dx", "dy")


def parse_numbers(words: Sequence[str], num_landmarks: int) -> list[int]:
    """The landmarks that `--landmarks` names; all of them if it names none."""
    if not words:
        return list(range(num_landmarks))
    if not all(w.strip().isdecimal() and int(w) < num_landmarks for w in words):
        raise UserError(
            f"--landmarks={','.join(words)} must be numbers from 0 to {num_landmarks - 1}, with commas"
        )
    return [int(word) for word in words]


def parse_alphas(words: Sequence[str]) -> list[float]:
    """The numbers of `--alphas`."""
    try:
        alphas = [float(word) for word in words]
    except ValueError:
        alphas = []
    if not alphas or not np.isfinite(alphas).all():
        raise UserError(f"--alphas={','.join(words)} must be numbers with commas, such as 0,0.5,1")
    return alphas


def open_reader(data: str) -> Callable[[str], np.ndarray]:
    """What reads a picture by its file, or by its name in `--data`."""
    if not data:

        def read_file(path: str) -> np.ndarray:
            try:
                return image_files.read_image(path)
            except image_files.UnreadableImageError as error:
                raise UserError(f"{path} cannot be read: {error}") from error

        return read_file
    source = sources.open_source(data, prefer_train=False)
    rows = {name: row for row, name in enumerate(source.names)}

    def read_name(name: str) -> np.ndarray:
        if name not in rows:
            raise UserError(
                f"--data={data} holds no {name}; its names are {', '.join(source.names[:3])} ..."
            )
        return source.read(rows[name])

    return read_name


def find_idle(model: ExportedModel, edits: Sequence[LandmarkEdit]) -> list[str]:
    """Says of which edits nothing can be seen: landmarks that stay, or a picture that does not follow them.

    Args:
        model: With a generator.
        edits: What moves, from alpha 0 to 1.

    Returns:
        A line for each such edit, which names its picture by its number.
    """
    lines = []
    for number, edit in enumerate(edits, 1):
        distance = np.linalg.norm(edit.end - edit.start, axis=1).max()
        if distance < 1.0:
            lines.append(
                f"picture {number}: its landmarks are less than a pixel of {len(edit.image)} from their targets, "
                "so that nothing moves: give other targets, or train longer if they lie wrong"
            )
            continue
        first, last = _render(model, edit, [0.0, 1.0]).astype(np.float32)
        change = np.abs(last - first).max()
        if change < _VISIBLE:
            lines.append(
                f"picture {number}: landmarks move by up to {distance:.0f} pixels of {len(edit.image)}, and no pixel "
                f"redrawn changes by more than {change:.0f} of 255: the generator does not follow them. Train longer; "
                "tools/show.py says which landmarks carry something"
            )
    return lines


def draw_sheet(
    model: ExportedModel, edits: Sequence[LandmarkEdit], alphas: Sequence[float]
) -> np.ndarray:
    """A row for each edit: the picture with the way of its landmarks, and redrawn at each alpha.

    Returns:
        One `[H, W, 3]` uint8 picture.
    """
    rows = []
    for edit in edits:
        redrawn = _render(model, edit, alphas)
        factor = overlays.enlargement(edit.image)
        rows.append(
            [
                overlays.draw_landmarks(edit.image, edit.start, factor),
                overlays.draw_moves(edit.image, edit.start, edit.end, factor),
                *(overlays.enlarge(picture, factor) for picture in redrawn),
            ]
        )
    return grids.grid(rows)


def write_video(
    path: str,
    model: ExportedModel,
    edits: Sequence[LandmarkEdit],
    alphas: Sequence[float],
    frames: int,
) -> None:
    """Writes a video of the motion there and back, the edits side by side.

    Args:
        path: An .mp4 file.
        model: With a generator.
        edits: What moves.
        alphas: The motion goes from the least of them to the largest.
        frames: Of the video.

    Raises:
        OSError: If it cannot be written.
    """
    phase = np.linspace(0.0, 2.0 * np.pi, frames, endpoint=False)
    low, high = min(alphas), max(alphas)
    steps = low + (high - low) * (1.0 - np.cos(phase)) / 2.0
    factor = overlays.enlargement(edits[0].image)
    strips = [
        np.concatenate(row, axis=1)
        for row in zip(
            *(
                [
                    np.concatenate(
                        [
                            overlays.draw_moves(edit.image, edit.start, edit.at(alpha), factor),
                            overlays.enlarge(picture, factor),
                        ],
                        axis=0,
                    )
                    for alpha, picture in zip(steps, _render(model, edit, steps), strict=True)
                ]
                for edit in edits
            ),
            strict=True,
        )
    ]
    with video_writer.VideoWriter() as film:
        for strip in strips:
            film.write(path, 20.0, strip)


def _find(model: ExportedModel, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The network's input of a picture, and its landmarks there."""
    (seen,) = model.to_inputs([image])
    (found,) = model.predict([image]).landmarks
    return seen, model.to_input_pixels(image.shape[:2], found)


def _render(model: ExportedModel, edit: LandmarkEdit, alphas: Sequence[float]) -> np.ndarray:
    """`[A, S, S, 3]` uint8, the picture with its landmarks at each alpha."""
    points = np.stack([edit.at(alpha) for alpha in alphas])
    inputs = np.repeat(edit.image[np.newaxis] / np.float32(255), len(points), axis=0)
    return overlays.to_uint8(model.render_inputs(inputs, model.from_input_pixels(points)))
