"""What all heads have in common, see heads.py: names, weights, files."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from tf_landmarks import run_directory
from tf_landmarks.layers import levels as levels_
from tf_landmarks.layers.levels import Levels

T = TypeVar("T")


class Located(NamedTuple):
    """What a head says of the annotated points.

    Attributes:
        points: `[B, A, 2]` float32 (y, x) in the corner convention of the network's input.
        heatmaps: `[B, h, w, A]` float32, distributions over cells that tile the input, whose means the points
            are; None for heads without.
        confidence: `[B, A]` float32 in (0, 1].
    """

    points: tf.Tensor
    heatmaps: tf.Tensor | None
    confidence: tf.Tensor


class Head(tf.Module):
    """Base of all heads.

    Args:
        names: Of the A landmarks.
        config: What else its constructor takes: numbers, and numbers by name.
    """

    #: What its files call it.
    kind: ClassVar[str]

    def __init__(self, names: Sequence[str], config: Mapping[str, int | float | Mapping[str, int]]):
        super().__init__(name=self.kind)
        self.names = tuple(names)
        self.weights: dict[str, tf.Variable] = {}
        self._config = dict(config)

    def save(self, path: str) -> None:
        """Writes an `.npz` file, all or nothing."""
        arrays = {"kind": np.array(self.kind), "names": np.array(self.names, dtype=np.str_)}
        for field, value in self._config.items():
            if isinstance(value, Mapping):
                arrays.update({f"config/{field}/{k}": np.array(v) for k, v in value.items()})
            else:
                arrays[f"config/{field}"] = np.array(value)
        arrays.update({f"weights/{name}": v.numpy() for name, v in self.weights.items()})
        with run_directory.open_whole(path, "wb") as file:
            np.savez(file, **arrays)

    def prepare(self, levels: Levels) -> None:
        """Takes what it needs to know of the features before it is fitted, from some labelled images."""

    def _add(self, name: str, value: np.ndarray, trainable: bool = True) -> None:
        self.weights[name] = tf.Variable(value, dtype=tf.float32, trainable=trainable)

    def _by_level(self, group: str) -> dict[str, tf.Variable]:
        """The weights `<group>/<level>`, by level."""
        return entries(self.weights, group)


class LevelsHead(Head):
    """Base of the heads that read levels.

    Args:
        names: See `Head`.
        channels: D of each level that is read, by name.
        grid: Cells a side of the grid that levels are brought to; 0 for the finest level's own.
        config: What else its constructor takes.
    """

    def __init__(self, names: Sequence[str], channels: Mapping[str, int], grid: int, **config):
        super().__init__(names, {"channels": dict(channels), "grid": grid, **config})
        self.channels, self.grid = dict(channels), grid

    def grid_size(self, levels: Levels) -> tuple[int, int]:
        """(height, width) of its grid, in cells."""
        return levels_.grid_size({name: levels[name] for name in self.channels}, self.grid)


def entries(named: Mapping[str, T], group: str) -> dict[str, T]:
    """The entries `<group>/<name>`, by name, in their order."""
    start = f"{group}/"
    return {n.removeprefix(start): v for n, v in named.items() if n.startswith(start)}
