"""The networks of C3: a backbone by name, the two heads on it, and where they stand (Xu et al. 2020, section 3.1).

A backbone gives two maps of features: f, from which appearance and pose are read, and f', by which places of two
images are compared. The decoder is IMM's renderer, the flow module is that of layers/correlation.py.
"""

import functools
from typing import NamedTuple

import tensorflow as tf

from tf_landmarks.layers import (
    blocks,
    correlation,
    efficientnet,
    frozen_network,
    grouped_norm,
    keras_resnet,
    resnet,
    soft_argmax,
)
from tf_landmarks.methods import imm_networks
from tf_landmarks.methods.base import ModelSpec
from tf_landmarks.methods.c3_options import C3Options
from tf_landmarks.methods.imm_options import ImmOptions

#: Of ImageNet in [0, 1], R, G, B; what ResNets of PyTorch's files were trained with.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: Strides of `resnet.LEVELS` where nothing is dilated.
_STRIDES = dict(zip(resnet.LEVELS, (4, 8, 16, 32), strict=True))
# Kernels of 5 cells cost three times those of 3; a coarse grid has no use for them.
_COARSE, _SMALL_KERNEL, _LARGE_KERNEL = 16, 3, 5


class Maps(NamedTuple):
    """What a backbone sees in images.

    Attributes:
        deep: f, `[B, h, w, C]`, behind its last level.
        flow: f', `[B, h', w', C']`, of the level by which places are compared.
    """

    deep: tf.Tensor
    flow: tf.Tensor


class Encoding(NamedTuple):
    """What is read from images.

    Attributes:
        appearance: a, `[B, grid, grid, head_width]`.
        pose: The landmarks.
        maps: p, `[B, grid, grid, K]` float32: a blob at each landmark.
        places: f' of `Maps`.
    """

    appearance: tf.Tensor
    pose: soft_argmax.Detection
    maps: tf.Tensor
    places: tf.Tensor


class Networks(tf.keras.layers.Layer):
    """All of C3's networks.

    Args:
        spec: Input size, K.
        options: The method's.
    """

    def __init__(self, spec: ModelSpec, options: C3Options, **kwargs):
        super().__init__(**kwargs)
        self._options = options
        sync, width, halvings = (
            spec.sync_batch_norm,
            options.head_width,
            imm_networks.num_halvings(spec.image_size, options.grid),
        )
        self.backbone = _backbone(options, halvings, sync)
        self.appearance_head, self.pose_head = (
            Head(options.grid, (width, width), options.head_norm, sync) for _ in range(2)
        )
        self.landmark_conv = tf.keras.layers.Conv2D(
            spec.num_landmarks, 1, kernel_initializer=_normal()
        )
        self.decoder = imm_networks.Renderer(halvings, _decoder_options(options), sync)
        self.flow_side = _flow_side(spec.image_size, options)
        kernel = options.flow_kernel or (
            _SMALL_KERNEL if self.flow_side <= _COARSE else _LARGE_KERNEL
        )
        self.flow = correlation.ConsensusNetwork(
            options.flow_layers, options.flow_width, kernel, options.flow_mutual
        )

    def see(self, images: tf.Tensor, training: bool = False) -> Maps:
        """The backbone's features of `images [B, S, S, 3]` in [0, 1]."""
        name = self._options.backbone
        if name == "small":
            features = self.backbone(images, training=training)
            return Maps(features, features)
        if name == "resnet50_keras":
            inputs = frozen_network.bgr(images)
        else:
            mean, spread = efficientnet.COLORS if name == "efficientnet_lite0" else _IMAGENET
            inputs = (images - mean) / spread
        levels = self.backbone(inputs, training=training)
        return Maps(levels[resnet.LEVELS[-1]], levels[self._options.flow_level])

    def encode(self, images: tf.Tensor, backbone_training: bool, heads_training: bool) -> Encoding:
        """Reads appearance and pose off `images [B, S, S, 3]` in [0, 1].

        Args:
            images: Real or drawn.
            backbone_training: Whether the backbone normalises by the batch's statistics.
            heads_training: Whether the heads do.
        """
        deep, places = self.see(images, backbone_training)
        appearance = self.appearance_head(deep, training=heads_training)
        scores = self.landmark_conv(self.pose_head(deep, training=heads_training))
        pose = soft_argmax.soft_argmax(scores, self._options.softargmax)
        return Encoding(appearance, pose, self.maps(pose.landmarks), places)

    def maps(self, landmarks: tf.Tensor) -> tf.Tensor:
        """p: a blob at each of `landmarks [B, K, 2]`, `[B, grid, grid, K]` float32."""
        grid, std = self._options.grid, self._options.blob_std
        if grid < _COARSE:  # narrower blobs would vanish between cells
            std = max(std, 0.75 * 2.0 / (grid - 1))
        return soft_argmax.gaussian_maps(landmarks, (grid, grid), std, "gaussian_without_half")

    def decode(self, appearance: tf.Tensor, maps: tf.Tensor, training: bool = False) -> tf.Tensor:
        """D(a, p), not clipped, `[B, S, S, 3]` float32; zeros for a or p show what the other one draws alone."""
        inputs = tf.concat([appearance, tf.cast(maps, appearance.dtype)], axis=-1)
        output = self.decoder(inputs, training=training)
        return 0.5 + 0.5 * output if self._options.output_affine else output

    def matches(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The filtered correlation of f' of two batches of images, `[B, h, w, h, w]` float32."""
        return self.flow(correlation.correlation(first, second))

    def trained_backbone(self) -> list[tf.Variable]:
        """The variables of what is trained of the backbone, see `C3Options.trained`."""
        if self._options.trained == "all":
            return self.backbone.trainable_variables
        if self._options.trained == "none" or self._options.backbone == "small":
            return []
        if self._options.backbone == "efficientnet_lite0":
            last = efficientnet.last_block(self._options.flow_level)
            behind = [
                *self.backbone.blocks[last + 1 :],
                self.backbone.head,
                self.backbone.head_norm,
            ]
        else:
            number = resnet.LEVELS.index(self._options.flow_level)
            behind = [block for level in self.backbone.levels[number + 1 :] for block in level]
        return [v for layer in behind for v in layer.trainable_variables]


class Head(tf.keras.layers.Layer):
    """3x3 convolutions with a ReLU behind each, on f at the size of the landmarks' grid.

    Args:
        grid: Side of what it gives, cells; f is resized to it, bilinearly.
        widths: Channels of the convolutions.
        norm: Whether batch normalisation stands before the ReLUs.
        sync: Whether replicas share its statistics.
    """

    def __init__(self, grid: int, widths: tuple[int, ...], norm: bool, sync: bool, **kwargs):
        super().__init__(**kwargs)
        self._grid = grid
        self.convs = [
            blocks.ConvBlock(width, 3, sync_batch_norm=sync)
            if norm
            else tf.keras.layers.Conv2D(
                width,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=_normal(),
            )
            for width in widths
        ]
        self._norm = norm

    def call(self, deep: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, h, w, C]` to `[B, grid, grid, widths[-1]]`."""
        size = (self._grid, self._grid)
        features = deep if tuple(deep.shape[1:3]) == size else blocks.resize(deep, size)
        for conv in self.convs:
            features = conv(features, training=training) if self._norm else conv(features)
        return features


def _backbone(options: C3Options, halvings: int, sync: bool) -> tf.keras.layers.Layer:
    if options.backbone == "small":
        return imm_networks.Body(halvings, ImmOptions(width=options.width, weight_decay=0.0), sync)
    if options.backbone == "resnet50_keras":
        return keras_resnet.KerasResNet50(options.dilated_levels, sync)
    norm = functools.partial(grouped_norm.GroupedBatchNormalization, synchronized=sync)
    if options.backbone == "efficientnet_lite0":
        return efficientnet.EfficientNetLite0(functools.partial(norm, epsilon=efficientnet.EPSILON))
    return resnet.ResNet(resnet.ARCHITECTURES[options.backbone], norm, options.dilated_levels)


def _flow_side(image_size: int, options: C3Options) -> int:
    """Side of f', cells."""
    if options.backbone == "small":
        return options.grid
    number = resnet.LEVELS.index(options.flow_level)
    dilated = 0 if options.backbone == "efficientnet_lite0" else options.dilated_levels
    # Of the dilated levels, which are the last ones, those up to that of f'.
    kept = max(0, number + 1 - (len(resnet.LEVELS) - dilated))
    return -(-image_size * 2**kept // _STRIDES[options.flow_level])


def _decoder_options(options: C3Options) -> ImmOptions:
    return ImmOptions(
        renderer_width=options.renderer_width,
        renderer_min_width=options.renderer_min_width,
        weight_decay=0.0,  # that of a stage is its player's
    )


def _normal() -> tf.keras.initializers.Initializer:
    """What draws new layers, as published."""
    return tf.keras.initializers.RandomNormal(stddev=0.01)
