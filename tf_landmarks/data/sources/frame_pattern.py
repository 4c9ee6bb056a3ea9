"""Sequences and frames of images by their names, as `--frame_pattern` describes them."""

import re

import numpy as np

from tf_landmarks.errors import UserError

GROUPS = ("sequence", "frame")
EXAMPLE_PATTERN = r"(?P<sequence>.*)_f(?P<frame>\d+)"


def compile_frame_pattern(pattern: str) -> re.Pattern:
    """Compiles `--frame_pattern`.

    Raises:
        UserError: If it is no regular expression, or lacks one of its two groups.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--frame_pattern={pattern} is no regular expression: {error}") from error
    missing = [f"(?P<{group}>...)" for group in GROUPS if group not in compiled.groupindex]
    if missing:
        raise UserError(
            f"--frame_pattern={pattern} lacks {' and '.join(missing)}; for walk1_f0012.jpg it could "
            f"be {EXAMPLE_PATTERN}"
        )
    return compiled


def parse_names(names: list[str], pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """Finds in each image's name which sequence it belongs to and its place there.

    An image for which the pattern matches without its groups, `labelled|(?P<sequence>...`, stands
    alone.

    Args:
        names: N names.
        pattern: A regular expression with the groups `sequence` and `frame`, found anywhere in a name.

    Returns:
        `[N]` int64 sequences and `[N]` int64 frame numbers.

    Raises:
        UserError: If it does not fit a name; says which.
    """
    compiled = compile_frame_pattern(pattern)
    sequences, places = {}, np.zeros((len(names), 2), np.int64)
    for row, name in enumerate(names):
        match = compiled.search(name)
        if not match:
            raise UserError(
                f"--frame_pattern={pattern} does not match the name {name}; extend it, if need be by "
                "an alternative without groups (|) for images that stand alone"
            )
        sequence, frame = (match[group] for group in GROUPS)
        if frame is not None and not re.fullmatch("[0-9]{1,18}", frame):
            raise UserError(
                f"--frame_pattern={pattern} finds the frame {frame!r} in {name}, which is not a whole "
                r"number; its group should be like (?P<frame>\d+)"
            )
        alone = sequence is None or frame is None
        places[row, 0] = sequences.setdefault((row,) if alone else sequence, len(sequences))
        places[row, 1] = 0 if alone else int(frame)
    return places[:, 0], places[:, 1]
