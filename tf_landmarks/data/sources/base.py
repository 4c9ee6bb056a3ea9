"""What a source of images is, what is asked of it, and what all kinds of sources share."""

import dataclasses
import functools
import os
import types
from collections.abc import Iterable, Mapping

import numpy as np
from absl import logging

from tf_landmarks.data import groups
from tf_landmarks.data.sources import listing
from tf_landmarks.data.sources.frame_slice import parse_frames
from tf_landmarks.errors import UserError


@dataclasses.dataclass(frozen=True)
class Request:
    """What a user asks for: the value of `--data`, and what says which of it to take.

    Attributes:
        data: The flag's value.
        flag: The flag, for messages.
        prefer_train: Of a folder with a `train/` inside, or of idx files, take the training split.
        frame_pattern: Finds sequence and frame in the names of images, see frame_pattern.py; none if empty.
        classes: Labels of images to take from idx files, with commas; all if empty.
        frames: Which frames of each video or stack to take, see frame_slice.py; all if empty.
    """

    data: str
    flag: str = "--data"
    prefer_train: bool = True
    frame_pattern: str = ""
    classes: str = ""
    frames: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it names a file."""
        return os.path.isfile(self.data)

    @functools.cached_property
    def listing(self) -> listing.Listing | None:
        """The files that it names; None where nothing is called so."""
        return listing.find(self.data, self.prefer_train)

    @property
    def frame_slice(self) -> slice:
        """The frames to take."""
        return parse_frames(self.frames)

    def say_passed_over(self, used: Iterable[str]) -> None:
        """Logs which of its files are not used, in one line, if there are any."""
        words = self.listing.passed_over(used)
        if words:
            logging.info("%s=%s: passed over: %s", self.flag, self.data, words)

    def refuse_frame_pattern(self) -> None:
        """Raises UserError if there is a pattern, for sources that know their frames without one."""
        if self.frame_pattern:
            raise UserError(
                f"{self.flag}={self.data} numbers its frames itself; leave "
                f"--frame_pattern={self.frame_pattern} out"
            )

    def refuse_frames(self) -> None:
        """Raises UserError if some frames are asked for, for sources that hold no videos or stacks."""
        if self.frames:
            raise UserError(
                f"--frames={self.frames} chooses frames of videos and pages of stacks, and "
                f"{self.flag}={self.data} holds none; leave it out"
            )


class Source:
    """A sequence of images.

    Attributes:
        names: One per image; for files the path relative to `root`.
        root: The folder the names are relative to, or a description.
        sequences: `[N]` int64, which video or object an image shows; None for single images.
        frame_numbers: `[N]` int64, its place in that sequence; None for single images.
        unreadable: What is known to be unreadable before it is read: reasons by index.
        neighbours: How many images in a row stay together when some are held out.
        of_videos: Whether the images are frames of videos.
        of_files: Whether the images are image files, or frames and pages of files, called so.
        is_stored: Whether its images lie somewhere, so that there can be copies of them.
        has_classes: Whether images of some labels can be asked for, see `Request.classes`.
    """

    names: list[str]
    root: str
    sequences: np.ndarray | None = None
    frame_numbers: np.ndarray | None = None
    unreadable: Mapping[int, str] = types.MappingProxyType({})
    neighbours: int = 10
    of_videos: bool = False
    of_files: bool = False
    is_stored: bool = True
    has_classes: bool = False

    @classmethod
    def matches(cls, request: Request) -> bool:
        """Returns whether what is asked for is of this kind, if it is of none that stands before it."""
        raise NotImplementedError

    @classmethod
    def open(cls, request: Request) -> "Source":
        """Opens what is asked for, of which `matches` is true.

        Raises:
            UserError: If there is no image in it, or something is asked for that this kind does not have.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.names)

    def frame_of(self, index: int) -> tuple[str, int | None]:
        """Returns the file that image `index` is in, and its number if it is a frame of a video."""
        return self.names[index], None

    def fps(self, file: str) -> float:
        """Returns the frames per second that a video states, 0 where unknown."""
        raise ValueError(f"{file} is no video of {type(self).__name__}")

    def read(self, index: int) -> np.ndarray:
        """Reads image `index` as `[H, W, 3]` uint8 RGB.

        Raises:
            UnreadableImageError: If it cannot be read.
        """
        raise NotImplementedError

    def read_whole(self, index: int) -> np.ndarray:
        """Reads the picture that image `index` is cut out of, itself if it is whole; raises as `read`."""
        return self.read(index)


def split(
    names: list[str], validation_fraction: float, seed: int, neighbours: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Splits images into those to train on and those to tune on.

    Where there are several videos, or series of pictures, whole ones are held out (see data/groups.py); of
    fewer, neighbours in name order stay together: a frame between two training frames would be no test of
    anything.

    Args:
        names: Names in order.
        validation_fraction: Share for validation, in [0, 1).
        seed: The split is a pure function of it and the names.
        neighbours: How many in a row go the same way, at least.

    Returns:
        Indices for training and for validation, both ascending.

    Raises:
        UserError: If the fraction is out of range, or leaves one of the two splits empty.
    """
    if not 0.0 <= validation_fraction < 1.0:
        raise UserError(f"--validation_fraction={validation_fraction} must be in [0, 1)")
    series = groups.series(names)
    order = np.argsort(series, kind="stable")
    blocks = np.split(order, np.flatnonzero(np.diff(series[order])) + 1)
    if not groups.LEAST <= len(blocks) <= len(names) / 2:
        # One series, or pictures that have nothing in common, are cut through.
        wholes = blocks if len(blocks) < groups.LEAST else [np.arange(len(names))]
        blocks = [b for w in wholes for b in np.array_split(w, max(1, len(w) // neighbours))]
    order = np.random.default_rng(seed).permutation(len(blocks))
    num_held_out = round(validation_fraction * len(blocks))
    if validation_fraction and not 0 < num_held_out < len(blocks):
        raise UserError(
            f"--validation_fraction={validation_fraction} of {len(names)} images leaves a part "
            "empty; give more images or set it to 0"
        )
    held_out = set(order[:num_held_out].tolist())
    splits = [[b for i, b in enumerate(blocks) if (i in held_out) == h] for h in (False, True)]
    return tuple(
        np.sort(np.concatenate([*rows, np.zeros(0, int)])).astype(np.int64) for rows in splits
    )
