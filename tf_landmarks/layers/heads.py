"""Heads: from what a network yields without labels to the points or masks that people annotate.

    linear          discovered points -> annotated points, the map that an evaluation fits
    virtual_points  levels -> 50 points of its own for each landmark -> the landmark (Cheng et al. 2021; DVE)
    heatmap         levels -> a distribution over cells for each landmark, whose mean it is
    prototype       levels -> where a landmark's mean descriptor is found again; one labelled image is enough
    mask            levels -> a foreground logit for each cell

All but the linear head read the levels of a `FeatureModel`, see levels.py. Points are (y, x) in the corner
convention of the network's input. A file holds arrays alone: the kind, the names of landmarks, sizes, weights.
"""

import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.layers import levels as levels_
from tf_landmarks.layers import soft_argmax
from tf_landmarks.layers.head_base import Head, LevelsHead, Located, entries
from tf_landmarks.layers.levels import Levels
from tf_landmarks.layers.prototype_head import PrototypeHead
from tf_landmarks.layers.ridge_head import RidgeHead

_BROKEN = (EOFError, zipfile.BadZipFile)  # what NumPy says of files that are no archives

__all__ = [
    "HEADS",
    "Head",
    "HeatmapHead",
    "LevelsHead",
    "LinearHead",
    "Located",
    "MaskHead",
    "PrototypeHead",
    "VirtualPointsHead",
    "load",
]


class LinearHead(Head):
    """`points[b, a] = sum_k landmarks[b, k] W[k, a] + intercept[a]`, all in the corner convention.

    It has no heat maps. A point is trusted as the landmarks are that it is read off, each by its share of the
    absolute weights (evaluation/attribution.py draws the same shares).

    Args:
        names: Of the A landmarks.
        num_landmarks: K.
    """

    kind = "linear"

    def __init__(self, names: Sequence[str], num_landmarks: int):
        super().__init__(names, {"num_landmarks": num_landmarks})
        self._add("maps", np.zeros([num_landmarks, 2, len(self.names), 2]))
        self._add("intercept", np.zeros([len(self.names), 2]))

    def __call__(self, points: tf.Tensor, confidence: tf.Tensor) -> Located:
        """Maps landmarks `[B, K, 2]` with their confidence `[B, K]`."""
        maps = self.weights["maps"]
        mapped = tf.einsum("bki,kiao->bao", points, maps) + self.weights["intercept"]
        strengths = tf.reduce_mean(tf.abs(maps), axis=(1, 3))  # [K, A]
        shares = tf.math.divide_no_nan(strengths, tf.reduce_sum(strengths, axis=0))
        return Located(mapped, None, tf.einsum("bk,ka->ba", confidence, shares))


class VirtualPointsHead(LevelsHead):
    """Each landmark is a linear map of points of its own (Cheng et al. 2021, supplement; DVE's released code).

        z_{a,i}(u) = <d_{a,i}, F(u)>                 1x1 convolution of all levels, no bias
        m_{a,i} = sum_u u softmax_u(scale z_{a,i}(u)),   u in linspace(-1, 1, h) x linspace(-1, 1, w)
        y_a = W_a vec(m_{a,1..})                     without bias

    Features are not normalised. Equal features everywhere give the centre. There is no heat map of a landmark;
    its confidence is the mean of those of its points.

    Args:
        names: Of the A landmarks.
        channels: See `LevelsHead`.
        grid: See `LevelsHead`; published: 48.
        num_virtual: Points of each landmark.
        scale: Of the logits.
        seed: Of the weights: d ~ N(0, 1), large on purpose, and W ~ U(-0.1, 0.1), as published.
    """

    kind = "virtual_points"

    def __init__(
        self,
        names: Sequence[str],
        channels: Mapping[str, int],
        grid: int = 48,
        num_virtual: int = 50,
        scale: float = 100.0,
        seed: int = 0,
    ):
        super().__init__(names, channels, grid, num_virtual=num_virtual, scale=scale)
        self._num_virtual, self._scale = num_virtual, scale
        random, count = np.random.RandomState(seed), len(self.names)
        for level, depth in channels.items():
            self._add(f"filters/{level}", random.normal(size=[1, 1, depth, count * num_virtual]))
        self._add("maps", random.uniform(-0.1, 0.1, [count, 2 * num_virtual, 2]))

    def __call__(self, levels: Levels) -> Located:
        """Locates the points by `levels [B, h, w, D]`."""
        scores = levels_.convolve(levels, self._by_level("filters"), self.grid_size(levels))
        found = soft_argmax.joint_soft_argmax(self._scale * scores)
        count = len(self.names)
        virtual = tf.reshape(found.landmarks, [-1, count, 2 * self._num_virtual])
        points = tf.einsum("bai,aio->bao", virtual, self.weights["maps"])
        confidence = tf.reshape(soft_argmax.confidence(found), [-1, count, self._num_virtual])
        return Located(points, None, tf.reduce_mean(confidence, axis=-1))


class ConvolutionHead(LevelsHead):
    """Base of the heads that are one or two convolutions, with bias, on the grid.

    Each level is divided by the root mean square of its channels on labelled images (`prepare`): how large
    features are differs by orders of magnitude between methods, and between levels of one.

    Args:
        names: See `Head`.
        channels: See `LevelsHead`.
        grid: See `LevelsHead`.
        outputs: Channels of the last convolution, which is 1x1.
        hidden: Channels of a first convolution with a ReLU; 0 for none.
        hidden_kernel: Side of its kernel, 1 or 3.
        seed: Of the weights.
        config: What else its constructor takes.
    """

    def __init__(self, names, channels, grid, outputs, hidden, hidden_kernel, seed, **config):
        sizes = {"hidden": hidden, "hidden_kernel": hidden_kernel}
        super().__init__(names, channels, grid, **sizes, **config)
        random, depth = np.random.RandomState(seed), sum(channels.values())
        side, first = (hidden_kernel, hidden) if hidden else (1, outputs)
        std = np.sqrt((2.0 if hidden else 1.0) / (side**2 * depth))
        for level, count in channels.items():
            self._add(f"scales/{level}", np.ones([]), trainable=False)
            self._add(f"filters/{level}", random.normal(0.0, std, [side, side, count, first]))
        self._add("bias", np.zeros([first]))
        if hidden:
            self._add("last", random.normal(0.0, hidden**-0.5, [1, 1, hidden, outputs]))
            self._add("last_bias", np.zeros([outputs]))

    def prepare(self, levels: Levels) -> None:
        for name, scale in self._by_level("scales").items():
            size = np.sqrt(np.mean(np.square(levels[name], dtype=np.float64)))
            scale.assign(1.0 / size if size > 0 else 1.0)

    def logits(self, levels: Levels) -> tf.Tensor:
        """Scores of the cells, `[B, h, w, outputs]`."""
        scales = self._by_level("scales")
        kernels = {name: k * scales[name] for name, k in self._by_level("filters").items()}
        scores = levels_.convolve(levels, kernels, self.grid_size(levels)) + self.weights["bias"]
        if "last" not in self.weights:
            return scores
        hidden = tf.nn.conv2d(tf.nn.relu(scores), self.weights["last"], 1, "SAME")
        return hidden + self.weights["last_bias"]


class HeatmapHead(ConvolutionHead):
    """Each landmark is the mean of a softmax over cells, which says where between cells it lies.

    Args:
        names: Of the A landmarks.
        channels: See `LevelsHead`.
        input_size: Side of the network's input, pixels.
        grid: See `LevelsHead`.
        hidden: See `ConvolutionHead`.
        hidden_kernel: See `ConvolutionHead`.
        seed: Of the weights.
    """

    kind = "heatmap"

    def __init__(
        self,
        names: Sequence[str],
        channels: Mapping[str, int],
        input_size: int,
        grid: int = 0,
        hidden: int = 0,
        hidden_kernel: int = 1,
        seed: int = 0,
    ):
        super().__init__(
            names, channels, grid, len(names), hidden, hidden_kernel, seed, input_size=input_size
        )
        self.input_size = input_size

    def __call__(self, levels: Levels) -> Located:
        """Locates the points by `levels [B, h, w, D]`."""
        found = soft_argmax.joint_soft_argmax(self.logits(levels))
        points = levels_.input_from_cells(found.landmarks, self.grid_size(levels), self.input_size)
        return Located(points, found.heatmaps, soft_argmax.confidence(found))


class MaskHead(ConvolutionHead):
    """A foreground logit for each cell; the foreground is where it is positive.

    Args:
        channels: See `LevelsHead`.
        grid: See `LevelsHead`; published: 48.
        hidden: See `ConvolutionHead`.
        hidden_kernel: See `ConvolutionHead`.
        seed: Of the weights.
    """

    kind = "mask"

    def __init__(
        self,
        channels: Mapping[str, int],
        grid: int = 0,
        hidden: int = 0,
        hidden_kernel: int = 1,
        seed: int = 0,
    ):
        super().__init__((), channels, grid, 1, hidden, hidden_kernel, seed)

    def __call__(self, levels: Levels) -> tf.Tensor:
        """Logits of the cells, `[B, h, w]`; their grid tiles the network's input."""
        return self.logits(levels)[..., 0]


#: By what their files call them, the only list.
HEADS: dict[str, type[Head]] = {
    head.kind: head
    for head in (LinearHead, VirtualPointsHead, HeatmapHead, PrototypeHead, RidgeHead, MaskHead)
}


def load(path: str) -> Head:
    """Reads what `Head.save` wrote.

    Raises:
        UserError: If the file holds no head.
        OSError: If it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = _make(arrays)
        if set(head.weights) != set(entries(arrays, "weights")):
            raise ValueError(f"it lacks weights or has others: {list(head.weights)} are wanted")
        for name, value in entries(arrays, "weights").items():
            head.weights[name].assign(value)
    except (*_BROKEN, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} holds no head ({error}); name a file that a fit wrote") from error
    return head


def _make(arrays: Mapping[str, np.ndarray]) -> Head:
    """A new head of the kind and the sizes that a file states."""
    kind = str(arrays["kind"])
    if kind not in HEADS:
        raise ValueError(f"its kind {kind!r} is unknown; it is one of {', '.join(HEADS)}")
    config: dict = {}
    for name, value in entries(arrays, "config").items():
        field, _, entry = name.partition("/")
        if entry:
            config.setdefault(field, {})[entry] = value.item()
        else:
            config[field] = value.item()
    if kind != MaskHead.kind:
        config["names"] = [str(name) for name in arrays["names"]]
    return HEADS[kind](**config)
