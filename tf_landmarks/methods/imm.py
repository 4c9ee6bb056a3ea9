"""IMM: landmarks by conditional image generation (Jakab, Gupta, Bilen, Vedaldi, NeurIPS 2018).

A detector squeezes the *target* image to K points and redraws each as a blob of fixed width; an
encoder describes the *source* image, which shows the same object in another geometry; a renderer
rebuilds the target from both. All that crosses from target to output is 2K numbers.

Defaults are those of the released code, but for the loss, for resizing (images are loaded with antialiasing and
half-pixel centres; renderer and mask resize as TensorFlow 2 does, unless `legacy_resize`) and for the order of images
(each once an epoch; there, drawn with replacement). Where the code differs from the paper: marginal logits are means
(paper: sums), blobs lack the 1/2 in the exponent, the source is a warp of the target (paper: two
independent warps), learning rate 1e-3 with a slow staircase (paper: 1e-2, lowered when the error
stalls), weight decay 1e-5 (paper: 5e-4), each gradient clipped by itself (paper: all together).

Images are in [0, 1] and not in 0-255, on both ends: the first batch normalisation absorbs the scale of
inputs, the renderer is better conditioned, and the losses multiply by 255 themselves, so that their
constants keep the published meaning.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import tensorflow as tf

from tf_landmarks.augment import augmentation, frame_pairs, tps, warped_pairs
from tf_landmarks.data import samplers
from tf_landmarks.errors import UserError
from tf_landmarks.layers import blocks, frozen_network, soft_argmax
from tf_landmarks.losses import perceptual
from tf_landmarks.methods import base, optimizers, schedules

Loss = Literal["balanced", "l2", "l1"]
Bottleneck = Literal["landmarks", "vector"]
PairKind = Literal["composed", "independent", "frames", "warped_frames"]


@dataclasses.dataclass(frozen=True)
class ImmOptions(optimizers.OptimizerOptions):
    """Options of IMM; the defaults are the released code's, but for what the head of this file names."""

    width: int = base.option(
        32, "channels of the first block of detector and encoder; each later block doubles them"
    )
    renderer_width: int = base.option(
        256, "channels of the renderer's first block; each later one halves them"
    )
    renderer_min_width: int = base.option(32, "channels below which the renderer does not go")
    grid: int = base.option(
        16, "cells along a side of the heatmaps; the image is a power of two times it"
    )
    bottleneck: Bottleneck = base.option(
        "landmarks",
        "what crosses from target to output: landmarks; or, for the paper's ablation, a vector of 2K "
        "numbers between fully connected layers",
    )
    softargmax: soft_argmax.SoftArgmax = base.option("mean", "how heatmaps become points")
    blob: soft_argmax.MapShape = base.option(
        "gaussian_without_half", "shape of the blob at each landmark"
    )
    blob_std: float = base.option(0.1, "width of the blob; the image is 2 units high")
    output_affine: bool = base.option(
        False, "add mid-grey to the renderer's output; saves about 1000 steps"
    )
    loss: Loss = base.option(
        "l2", "balanced (levels of the loss network by running means), or l2 or l1 of pixels"
    )
    loss_network: str = base.option(
        "",
        "weights of the network whose features the balanced loss compares beside pixels: VGG-16 or "
        "VGG-19 (.h5, .npz), SqueezeNet (.h5), or what --method=colorization wrote; imagenet: "
        "the VGG-19 that Keras downloads",
    )
    loss_start: perceptual.Start = base.option(
        "published",
        "where the running means of the balanced loss start; first_batch saves 1000 steps",
    )
    loss_zoom: int = base.option(
        1, "how many times images are enlarged before the loss network sees them"
    )
    loss_stop_gradient: bool = base.option(
        False, "no gradient through the running means of the balanced loss"
    )
    adversarial: float = base.option(
        0.0,
        "weight of a patch discriminator's verdict beside the loss of pixels, for the paper's ablation; "
        "0: no discriminator",
    )
    legacy_resize: bool = base.option(
        False, "resize as TensorFlow 1 did: upsampling in the renderer, masks in the loss"
    )
    weight_decay: float = base.option(1e-5, "c of c * 1/2 |W|^2 on convolution kernels")
    schedule: schedules.Schedule = base.option("staircase", "how the learning rate falls")
    clip: optimizers.Clip = base.option(
        "variable", "what is clipped to norm 1: each variable's gradient, or all together"
    )
    pairing: PairKind = base.option(
        "composed",
        "source = warp of the target; independent warps; frames of a video as they are; or warped_frames, "
        "each warped by itself",
    )
    border: warped_pairs.Border = base.option(
        "zeros_mask", "black border with a mask, or a margin in which the image continues"
    )
    target_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(0.0, 0.0, 0.1, 0.001, 0.005), "warp of the target"
    )
    source_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(5.0, 0.1, 0.1, 0.001, 0.01), "warp of the source"
    )
    mirror: bool = base.option(True, "mirror frame pairs with probability 1/2")


class Body(tf.keras.layers.Layer):
    """The convolutional body of detector and encoder: S x S image to grid x grid features.

    A 7x7 and a 3x3 block at full size, then per halving a stride-2 and a stride-1 block, channels
    doubling: 32 to 256 for 128 px.
    """

    def __init__(self, halvings: int, options: ImmOptions, sync: bool, **kwargs):
        super().__init__(**kwargs)
        self.blocks = []
        for level in range(halvings + 1):
            filters = options.width * 2**level
            first = (7, 1) if level == 0 else (3, 2)
            for kernel, stride in (first, (3, 1)):
                block = blocks.ConvBlock(filters, kernel, stride, options.weight_decay, sync)
                self.blocks.append(block)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = images
        for block in self.blocks:
            features = block(features, training=training)
        return features  # [B, grid, grid, width * 2^halvings]


class Renderer(tf.keras.layers.Layer):
    """The generator: grid x grid features and blobs to an S x S image."""

    def __init__(self, halvings: int, options: ImmOptions, sync: bool, **kwargs):
        super().__init__(**kwargs)
        self.levels = []
        for level in range(halvings + 1):
            filters = max(options.renderer_min_width, options.renderer_width // 2**level)
            count = 1 if level == halvings else 2
            self.levels.append(
                [blocks.ConvBlock(filters, 3, 1, options.weight_decay, sync) for _ in range(count)]
            )
        self.output_conv = blocks.conv(3, 3, weight_decay=options.weight_decay)
        self._half_pixel_centers = not options.legacy_resize

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = inputs
        for level, layers in enumerate(self.levels):
            if level > 0:
                features = blocks.upsample_2x(features, self._half_pixel_centers)
            for block in layers:
                features = block(features, training=training)
        return tf.cast(self.output_conv(features), tf.float32)  # [B, S, S, 3]


class LandmarkBottleneck(tf.keras.layers.Layer):
    """What crosses from target to output: K landmarks, each redrawn as a blob."""

    def __init__(self, num_landmarks: int, options: ImmOptions, **kwargs):
        super().__init__(**kwargs)
        self.head = blocks.conv(num_landmarks, 1, weight_decay=options.weight_decay)
        self._options = options

    def points(self, features: tf.Tensor) -> soft_argmax.Detection:
        """Reads landmarks off `features [B, grid, grid, C]`."""
        return soft_argmax.soft_argmax(self.head(features), self._options.softargmax)

    def maps(self, points: tf.Tensor) -> tf.Tensor:
        """Makes `[B, grid, grid, K]` blobs of `points [B, K, 2]`."""
        return _blobs(points, self._options)


class VectorBottleneck(tf.keras.layers.Layer):
    """The ablation's bottleneck: K pairs of numbers in [-1, 1] that need not be places.

    The paper gives the number of numbers (10, 20, 60) and no more; that they are bounded by tanh, and
    drawn as maps of the same size as blobs by one linear layer, is ours.
    """

    def __init__(self, num_landmarks: int, options: ImmOptions, **kwargs):
        super().__init__(**kwargs)
        self._options = options
        self._shape = (options.grid, options.grid, num_landmarks)
        self.encode = tf.keras.layers.Dense(2 * num_landmarks, dtype=tf.float32)
        self.decode = tf.keras.layers.Dense(math.prod(self._shape), dtype=tf.float32)

    def points(self, features: tf.Tensor) -> soft_argmax.Detection:
        """Encodes `features [B, grid, grid, C]`; blobs stand in for maps, of which there are none."""
        flat = tf.reshape(features, [-1, math.prod(features.shape[1:])])
        points = tf.reshape(tf.tanh(self.encode(flat)), [-1, self._shape[2], 2])
        blobs = _blobs(points, self._options)
        total = tf.reduce_sum(blobs, axis=(1, 2), keepdims=True)
        return soft_argmax.Detection(points, tf.math.divide_no_nan(blobs, total), blobs)

    def maps(self, points: tf.Tensor) -> tf.Tensor:
        """Makes `[B, grid, grid, K]` maps of `points [B, K, 2]`."""
        flat = tf.reshape(points, [-1, 2 * self._shape[2]])
        return tf.reshape(self.decode(flat), [-1, *self._shape])


_BOTTLENECKS = {"landmarks": LandmarkBottleneck, "vector": VectorBottleneck}


def _blobs(points: tf.Tensor, options: ImmOptions) -> tf.Tensor:
    size = (options.grid, options.grid)
    return soft_argmax.gaussian_maps(points, size, options.blob_std, options.blob)


class Discriminator(tf.keras.layers.Layer):
    """Tells real images from rebuilt ones, patch by patch; the paper does not describe its own."""

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.convs = [
            tf.keras.layers.Conv2D(width * 2**level, 4, 2, padding="same") for level in range(3)
        ]
        self.verdict = tf.keras.layers.Conv2D(1, 3, padding="same")

    def call(self, images: tf.Tensor) -> tf.Tensor:
        features = 2.0 * images - 1.0
        for conv in self.convs:
            features = tf.nn.leaky_relu(conv(features), 0.2)
        return tf.cast(self.verdict(features), tf.float32)  # [B, S/8, S/8, 1]: 1 real, 0 rebuilt


class Imm(base.LandmarkModel):
    """The model; see the module's head."""

    options_class = ImmOptions
    frozen_kinds: ClassVar = {
        "loss_network": base.Frozen(frozen_network.FrozenNetwork, for_losses_only=True)
    }
    loss_layers = ("balance", "discriminator")
    terms: ClassVar[Mapping[str, str]] = {
        "m_input": "mean squared error of the redrawn pixels, colours from 0 to 255, where the mask counts; should fall",
        "m_*": "mean squared error of the features of this level of the loss network; should fall",
        "mse": "mean squared error of the redrawn pixels, colours from 0 to 1, over all of the image",
        "adversarial": "how surely the discriminator calls the redrawn images drawn; pulls them towards real ones",
        "discriminator": "loss of the discriminator that tells redrawn images from real ones",
    }
    remedies = base.Remedies(
        dead="with a higher --imm_learning_rate, or with --imm_softargmax=joint, which moves sooner (configs/cpu_imm.cfg has it)",
        spread="anew with a lower --imm_learning_rate or stronger warps (--imm_source_warp_*)",
        warps="with stronger warps (--imm_source_warp_*)",
        border="train with --imm_border=margin",
        capacity="with a wider network (--imm_width)",
    )

    def __init__(self, spec: base.ModelSpec, options: ImmOptions, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        self.loss_network = (frozen or {}).get("loss_network")
        halvings, sync = num_halvings(spec.image_size, options.grid), spec.sync_batch_norm
        self.detector = Body(halvings, options, sync, name="detector")
        self.bottleneck = _BOTTLENECKS[options.bottleneck](
            spec.num_landmarks, options, name="bottleneck"
        )
        self.encoder = Body(halvings, options, sync, name="encoder")
        self.renderer = Renderer(halvings, options, sync, name="renderer")
        if options.adversarial:
            self.discriminator = Discriminator(2 * options.width, name="discriminator")

    @classmethod
    def check(cls, spec: base.ModelSpec, options: ImmOptions) -> None:
        """IMM takes its grid times a power of two: 32, 64, 128 or 256 px with 16 cells."""
        sizes = [options.grid * 2**n for n in range(1, 5)]
        if spec.image_size not in sizes:
            raise UserError(
                f"--image_size={spec.image_size} does not fit --imm_grid={options.grid} cells; "
                f"IMM then takes {', '.join(map(str, sizes))}"
            )

    @property
    def stages(self) -> list[base.Stage]:
        """A single stage on pairs."""
        players = [self._player("model", self._reconstruction_variables)]
        if self.options.adversarial:
            discriminator = self.discriminator
            players.append(self._player("discriminator", lambda: discriminator.trainable_variables))
        return [base.Stage("main", self._augmentation(), self.compute_losses, tuple(players))]

    def _player(self, name: str, variables: Callable[[], list[tf.Variable]]) -> base.Player:
        return optimizers.player(name, self.options, variables, epsilon=1e-8)

    def _reconstruction_variables(self) -> list[tf.Variable]:
        """What the reconstruction trains: all but the discriminator."""
        layers = [x for x in self.layers if x is not getattr(self, "discriminator", None)]
        return [v for layer in layers for v in layer.trainable_variables]

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class."""
        if for_training and self.options.loss == "balanced":
            network, size = self.loss_network, self.options.loss_zoom * self.spec.image_size
            levels = ("input", *(network.levels(size) if network else ()))
            self.balance = perceptual.RunningBalance(
                levels, self.options.loss_stop_gradient, self.options.loss_start
            )
        super().build_variables(for_training)

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Rebuilds the target; terms: `m_<level>` (masked mean squared errors), `mse` of pixels."""
        landmarks = self._detect(batch["target"], training).landmarks
        features = self.encoder(batch["source"], training=training)
        output = self._generate(features, landmarks, training)
        total, terms, progress = self._reconstruction(batch, output, training)
        totals = {"model": total}
        if self.options.adversarial:
            adversarial, discriminator = self._adversarial(batch, output)
            terms |= {"adversarial": adversarial, "discriminator": discriminator}
            totals["model"] += 1000.0 * self.options.adversarial * adversarial
            totals["discriminator"] = discriminator
        return base.Losses(totals, terms, progress)

    def _reconstruction(
        self, batch: dict[str, tf.Tensor], output: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor | None]:
        """Total, terms and progress of the comparison of `output` with the target."""
        target, mask, options = batch["target"], batch["mask"], self.options
        network = self.loss_network if options.loss == "balanced" else None
        errors = perceptual.level_errors(
            network, target, output, mask, options.loss_zoom, not options.legacy_resize
        )
        terms = {f"m_{level}": error for level, error in errors.items()}
        terms["mse"] = tf.reduce_mean((target - output) ** 2)
        if options.loss == "balanced":
            stacked = base.mean_over_replicas(tf.stack([errors[k] for k in self.balance.levels]))
            # The total hovers for ever.
            return (
                self.balance(stacked, training=training),
                terms,
                self.balance.progress(stacked),
            )
        if options.loss == "l1":
            terms["m_l1"] = perceptual.masked_mean(tf.abs(255.0 * (target - output)), mask)
            return 1000.0 * terms["m_l1"] / 255.0, terms, None
        return 1000.0 * errors["input"] / 255.0, terms, None

    def _adversarial(
        self, batch: dict[str, tf.Tensor], output: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What renderer and discriminator want of the verdicts, in least squares (Mao et al. 2017).

        Each is differentiated by its own player's variables alone. Images are masked: by a border that the loss does
        not count, the one that is real would be known.
        """
        of_target, of_output = (
            self.discriminator(batch["mask"] * images) for images in (batch["target"], output)
        )
        adversarial = tf.reduce_mean((of_output - 1.0) ** 2)
        discriminator = tf.reduce_mean((of_target - 1.0) ** 2) + tf.reduce_mean(of_output**2)
        return adversarial, 0.5 * discriminator

    def represent(self, images: tf.Tensor, training: bool = False) -> base.Landmarks:
        """See the base class; the heatmaps of a marginal soft-argmax are outer products."""
        return base.Landmarks.of(self._detect(images, training))

    def render(self, images: tf.Tensor, landmarks: tf.Tensor) -> tf.Tensor:
        """See the base class."""
        output = self._generate(self.encoder(images, training=False), landmarks, training=False)
        return tf.clip_by_value(output, 0.0, 1.0)

    def render_parts(self, images: tf.Tensor) -> base.Parts:
        """See the base class."""
        look = self.encoder(images, training=False)
        maps = self.bottleneck.maps(self.represent(images).points)
        inputs = ((look, tf.zeros_like(maps)), (tf.zeros_like(look), maps))
        return base.Parts(*(tf.clip_by_value(self._draw(*i, False), 0.0, 1.0) for i in inputs))

    def _detect(self, images: tf.Tensor, training: bool) -> soft_argmax.Detection:
        return self.bottleneck.points(self.detector(images, training=training))

    def _generate(self, features: tf.Tensor, landmarks: tf.Tensor, training: bool) -> tf.Tensor:
        return self._draw(features, self.bottleneck.maps(landmarks), training)

    def _draw(self, features: tf.Tensor, maps: tf.Tensor, training: bool) -> tf.Tensor:
        inputs = tf.concat([features, tf.cast(maps, features.dtype)], axis=-1)
        output = self.renderer(inputs, training=training)
        return 0.5 + 0.5 * output if self.options.output_affine else output

    def _augmentation(self) -> augmentation.Augmentation:
        options = self.options
        if options.pairing == "frames":
            return frame_pairs.FramePair(options.mirror)
        composed = options.pairing == "composed"
        frames = options.pairing == "warped_frames"
        sampler = samplers.FramePairs() if frames else samplers.SingleImages()
        return warped_pairs.WarpedPair(
            options.target_warp, options.source_warp, composed, options.border, sampler
        )


def num_halvings(image_size: int, grid: int) -> int:
    """How often an image must be halved to reach the grid."""
    return int(math.log2(image_size // grid))
