"""Files that cannot be read: named, counted, and too many of them refused."""

import threading

from absl import logging

from tf_landmarks.errors import UserError


class TooManyBadFilesError(UserError):
    """More files cannot be read than `--max_bad_fraction` allows; the message lists them."""


class BadFiles:
    """Keeps count of unreadable files, and of how many are too many.

    Args:
        total: Number of files in the set.
        max_fraction: Largest tolerated share, in [0, 1].

    Raises:
        UserError: If the share is out of range.
    """

    def __init__(self, total: int, max_fraction: float):
        if not 0.0 <= max_fraction <= 1.0:
            raise UserError(f"--max_bad_fraction={max_fraction} must be in [0, 1]")
        self._total, self._max_fraction = total, max_fraction
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, name: str, reason: str) -> None:
        """Notes and logs one file; the same file counts once."""
        with self._lock:
            if name in self._reasons:
                return
            self._reasons[name] = reason
        logging.warning("skipped %s: %s", name, reason)

    def check(self) -> None:
        """Raises TooManyBadFilesError once more than the tolerated share is bad, or all are."""
        with self._lock:
            bad = sorted(self._reasons.items())
        # Divided, not multiplied: 0.29 * 100 is less than 29.
        if len(bad) / self._total <= self._max_fraction and len(bad) < self._total:
            return
        shown = "\n".join(f"  {name}: {reason}" for name, reason in bad[:200])
        more = f"\n  and {len(bad) - 200} more" if len(bad) > 200 else ""
        if len(bad) == self._total:
            raise TooManyBadFilesError(f"none of {len(bad)} images can be read:\n{shown}{more}")
        raise TooManyBadFilesError(
            f"{len(bad)} of {self._total} images cannot be read, more than "
            f"--max_bad_fraction={self._max_fraction:g} allows:\n{shown}{more}\n"
            "repair or remove them, or raise --max_bad_fraction"
        )
