"""Which frames of each video or stack are taken, as `--frames` says."""

import re

from tf_landmarks.errors import UserError


def parse_frames(text: str) -> slice:
    """Reads `--frames`, `start:stop:step` as in Python: `0:500:5`, `-100:`, `::10`; all if empty.

    Raises:
        UserError: If it is no such thing.
    """
    parts = text.split(":") if text else ["", ""]
    if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"(-?[0-9]{1,9})?", p) for p in parts):
        raise UserError(
            f"--frames={text} must be start:stop:step, as in Python: 0:500:5 for every fifth of the first "
            "500 frames, -100: for the last 100, ::10 for every tenth"
        )
    numbers = [int(part) if part else None for part in parts]
    if len(numbers) == 3 and numbers[2] is not None and numbers[2] < 1:
        raise UserError(f"--frames={text} has the step {numbers[2]}, which must be at least 1")
    return slice(*numbers)
