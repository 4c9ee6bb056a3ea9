"""LMDIS: landmarks as the structure of an autoencoder (Zhang, Guo, Jin, Luo, He, Lee, CVPR 2018).

A detector makes K + 1 score maps, of K landmarks and the background; a softmax over the maps at each
pixel shares it out among them. A landmark is the mean place of its map. A second network makes features,
and each map pools a few numbers from them: a descriptor. A decoder redraws the image from landmarks and
descriptors alone. Landmarks shall be concentrated, apart from each other, follow known warps, and suffice
to redraw the image.

Defaults are those of lmdis.md: the released code's scales of losses (`loss_scale`), the paper's maps for
the decoder, landmark warps at a rate of 0.3 as in the paper. Statistics of batch normalisation are
measured anew before each evaluation, as published (see `bn_reestimation_batches`). Convolutions keep a bias, which
batch normalisation cancels. With optical flow, the later frame counts in concentration and separation like
the other two images, and the released scale of equivariance applies to the flow's too.

Places are in the edge convention of the canvas, except in losses: there lengths are in units of the image's
side, which is what the published weights mean.
"""

import dataclasses
import math
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import padded_pairs
from tf_landmarks.errors import UserError
from tf_landmarks.layers import blocks
from tf_landmarks.layers.hourglass import Hourglass, Level
from tf_landmarks.layers.soft_argmax import CONFIDENCE_STD
from tf_landmarks.losses import optical_flow, structure
from tf_landmarks.methods import base, schedules

# Side of the canvas for each side of the image; the first two are the paper's, as are 128 and 28.
_CANVASES = {80: 96, 64: 96, 128: 192, 28: 56, 48: 64, 32: 48}
_RENDER_WIDTHS = tuple(0.125 * math.sqrt(2.0) ** j for j in range(5))  # of the image's side
_FEATURES = 64  # channels that a descriptor is painted with, at the published width
_MIN_SPREAD = 0.15  # of landmarks, below which a spline around them explodes

Architecture = Literal["auto", "standard", "large", "digits", "small"]


@dataclasses.dataclass(frozen=True)
class LmdisOptions:
    """Options of LMDIS; the defaults are those for CelebA with 10 landmarks."""

    architecture: Architecture = base.option(
        "auto",
        "the networks: standard (of 64 and 80 px), large (128 px), digits (28 px) or small (not published: "
        "half as deep, for a CPU); auto goes by --image_size",
    )
    width: int = base.option(32, "channels of the detector's first block; all others in proportion")
    output_scale: float = base.option(
        1.0,
        "factor of what detector and decoder end with, before softmax and sigmoid; above 1, maps are sharp "
        "and pictures have black and white after fewer steps",
    )
    canvas_size: int = base.option(
        0, "side of the image with its border, pixels; 0: the paper's for the image's size"
    )
    descriptor: int = base.option(8, "numbers per landmark that say how it looks")
    descriptor_activation: bool = base.option(
        False, "leaky ReLU where descriptors are painted (main paper; not in the released code)"
    )
    heatmap: Literal["paper", "released"] = base.option(
        "paper", "how landmarks are drawn for the decoder; released: far fainter, and with the size"
    )
    reconstruction: Literal["gaussian", "bernoulli"] = base.option(
        "gaussian", "likelihood of pixels; bernoulli is for black and white drawings"
    )
    squeeze_colors: bool = base.option(
        False, "colours go in as 0.1 to 0.9, and out as 0 to 1: for white that no sigmoid reaches"
    )
    predict_deviation: bool = base.option(
        False, "the decoder says how sure it is of each pixel, and the likelihood goes by it"
    )
    loss_scale: Literal["released", "paper"] = base.option(
        "released", "scales of reconstruction and equivariance: those of the code, or as printed"
    )
    reconstruction_weight: float = base.option(0.1, "lambda_recon at the start")
    concentration_weight: float = base.option(100.0, "lambda_conc, weight of the concentration")
    separation_weight: float = base.option(20.0, "lambda_sep, weight of the separation")
    separation_width: float = base.option(0.08, "sigma_sep, in units of the image's side")
    equivariance_weight: float = base.option(1e4, "lambda_eqv, weight of the equivariance")
    flow: bool = base.option(
        False,
        "landmarks shall follow the optical flow of videos too, over two intervals, besides warps",
    )
    flow_interval: int = base.option(
        5, "frames from one to the next of three between which it is taken"
    )
    flow_window: int = base.option(
        15,
        "side of what the flow takes to move alike, pixels; small images want less",
    )
    flow_preference: bool = base.option(
        True, "draw landmarks to what moves, without which they flee from it"
    )
    reconstruction_step_1: int = base.option(
        100_000, "step from which lambda_recon is reconstruction_factor times as large; 0: never"
    )
    reconstruction_factor: float = base.option(
        10.0, "what lambda_recon is multiplied by at reconstruction_step_1"
    )
    reconstruction_step_2: int = base.option(
        200_000, "step from which it is 10 times as large again; 0: never"
    )
    warp: padded_pairs.PaddedWarpStrength = base.option(
        padded_pairs.PaddedWarpStrength(), "warp of the canvas"
    )
    landmark_displacement: float = base.option(
        0.05,
        "standard deviation by which landmarks move in warps around them; the canvas is 2 units wide",
    )
    landmark_warps: float = base.option(
        0.3, "share of warps around landmarks, not a grid, once they have begun"
    )
    landmark_warps_from: int = base.option(5000, "step at which they begin")
    landmark_warps_full: int = base.option(10_000, "step from which their share is as given")
    color_jitter: bool = base.option(True, "change brightness and contrast at random")
    norm_momentum: float = base.option(0.9997, "of the moving averages of batch normalisation")
    bn_reestimation_batches: int = base.option(
        500,
        "batches on which its statistics are measured before each evaluation; 0: moving averages",
    )
    weight_decay: float = base.option(1e-6, "c of c * 1/2 |W|^2 on kernels")
    learning_rate: float = base.option(1e-3, "Adam's learning rate at the start")
    schedule: schedules.Schedule = base.option(
        "steps", "how the learning rate falls; steps: to a tenth at each of the two steps below"
    )
    learning_rate_step_1: int = base.option(100_000, "first step of the schedule of steps")
    learning_rate_step_2: int = base.option(200_000, "second step of the schedule of steps")


class Found(NamedTuple):
    """What the detector finds.

    Attributes:
        places: `[B, K, 2]` (y, x), edge convention of the canvas.
        variances: `[B, K, 2]` along y and x, in that unit squared.
        maps: `[B, m, m, K + 1]` float32, 1 at each pixel over all maps; the last is the background.
    """

    places: tf.Tensor
    variances: tf.Tensor
    maps: tf.Tensor


class Lmdis(base.LandmarkModel):
    """The model; see the module's head."""

    options_class = LmdisOptions
    can_grow = False  # the last map is the background's
    remedies = base.Remedies(
        dead="with a higher --lmdis_separation_weight or --lmdis_separation_width",
        spread="with a higher --lmdis_separation_weight or --lmdis_separation_width",
        warps="with a higher --lmdis_equivariance_weight",
        capacity="with a wider network (--lmdis_width)",
    )

    def __init__(self, spec: base.ModelSpec, options: LmdisOptions, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        self._canvas_size = canvas_side(spec, options)
        #: How many times the image's side the canvas is.
        self.padding = self._canvas_size / spec.image_size
        kind = architecture(spec, options)
        common = {
            "weight_decay": options.weight_decay,
            "sync_batch_norm": spec.sync_batch_norm,
            "initializer": tf.keras.initializers.GlorotUniform,
            "momentum": options.norm_momentum,
            "leak": 0.2,
        }
        count = spec.num_landmarks + 1
        self.has_descriptors = options.descriptor > 0
        colours = (1 if kind == "digits" else 3) * (2 if options.predict_deviation else 1)
        self.detector = _Detector(kind, options.width, count, common)
        if self.has_descriptors:
            self.describer = _Describer(kind, options.width, common)
        self._kind, self._common = kind, common
        self.decoder = self.make_decoder(colours)
        self._painted = max(1, _FEATURES * options.width // 32)
        #: Side of the maps that the decoder sees, cells.
        self.rendered_size = spec.image_size // (2 if kind == "large" else 1)

    @classmethod
    def check(cls, spec: base.ModelSpec, options: LmdisOptions) -> None:
        """Image and canvas must halve as often as the hourglasses do."""
        size, kind = canvas_side(spec, options), architecture(spec, options)
        image_cells, canvas_cells = _MULTIPLES[kind]
        if spec.image_size % image_cells or size % canvas_cells:
            raise UserError(
                f"--image_size={spec.image_size} with --lmdis_canvas_size={size}: the {kind} networks take "
                f"multiples of {image_cells} and {canvas_cells}"
            )
        for flag, least in (("flow_interval", 1), ("flow_window", 3)):
            if options.flow and getattr(options, flag) < least:
                raise UserError(f"--lmdis_{flag}={getattr(options, flag)} must be at least {least}")
        if size < spec.image_size or (size - spec.image_size) % 2:
            raise UserError(
                f"--lmdis_canvas_size={size} must exceed --image_size={spec.image_size} by an even number"
            )

    def make_decoder(self, channels: int, **changes) -> "Decoder":
        """A decoder as this model has one, of `channels` numbers per pixel; `changes` of its blocks."""
        return Decoder(self._kind, self.options.width, channels, {**self._common, **changes})

    @property
    def bn_reestimation_batches(self) -> int:
        """See the base class."""
        return self.options.bn_reestimation_batches

    @property
    def stages(self) -> list[base.Stage]:
        """A single stage."""
        options = self.options
        augmentation = padded_pairs.PaddedPair(
            self._canvas_size, options.warp, options.landmark_displacement,
            self.spec.num_landmarks, options.color_jitter,
            options.flow_interval if options.flow else 0, options.flow_window,
        )  # fmt: skip
        player = base.Player("model", tf.keras.optimizers.Adam, self._schedule)
        return [base.Stage("main", augmentation, self.compute_losses, (player,))]

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class."""
        if self.has_descriptors:
            count, numbers = self.spec.num_landmarks + 1, self.options.descriptor
            channels = self.describer.channels

            def kernel(name: str, rows: int, columns: int) -> tf.Variable:
                regularizer = tf.keras.regularizers.L2(self.options.weight_decay / 2.0)
                limit = tf.keras.initializers.RandomUniform(
                    *[s * math.sqrt(6 / (rows + columns)) for s in (-1, 1)]
                )
                return self.add_weight(name, [count, rows, columns], tf.float32, limit, regularizer)

            self.describe = kernel("describe", channels, numbers)
            self.describe_bias = self.add_weight("describe_bias", [numbers], tf.float32, "zeros")
            self.paint = kernel("paint", numbers, self._painted)
            self.paint_bias = self.add_weight("paint_bias", [self._painted], tf.float32, "zeros")
        super().build_variables(for_training)

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Terms as in lmdis.md 6, lengths in the image's side: `recon`, `conc`, `sep`, `eqv`, `mse`.

        With optical flow also `flow` and `prefer`.
        """
        options = self.options
        batch = {
            name: self._squeezed(value) if name in ("target", "source", "later") else value
            for name, value in batch.items()
        }
        target = batch["target"]
        padded = padded_pairs.pad(target, self._canvas_size)
        source, moved = self._warped(padded, batch, training)
        canvases = [padded, source, *([batch["later"]] if options.flow else [])]
        found = self.detect(tf.concat(canvases, axis=0), training)
        places, other, *later = tf.split(found.places, len(canvases))
        side = self.padding / 2.0  # from the canvas' edge convention to the image's side
        maps = tf.split(found.maps, len(canvases))[0]
        output = self._decode(places, self._describe(padded, maps, training), training)

        recon = self._reconstruction(target, output)
        conc = tf.reduce_mean(structure.concentration(found.variances * side**2))
        sep = tf.reduce_mean(structure.separation(found.places * side, options.separation_width))
        eqv = tf.reduce_mean(tf.reduce_sum((side * (moved(other) - places)) ** 2, axis=[1, 2]))
        terms = {
            "recon": recon,
            "conc": conc,
            "sep": sep,
            "eqv": eqv,
            "mse": tf.reduce_mean((self._stretched(target) - self._colours(output)) ** 2),
        }
        scale = 4.0 / self.padding if options.loss_scale == "released" else 1.0
        total = (
            self._reconstruction_weight() * recon
            + options.concentration_weight * conc
            + options.separation_weight * sep
            + options.equivariance_weight * scale * eqv
        )
        if options.flow:
            moving, valid = batch["flow"], batch["valid"]
            follows = optical_flow.flow_equivariance(side * places, side * later[0], moving, valid)
            terms["flow"] = follows
            total += options.equivariance_weight * scale * follows
            if options.flow_preference:
                terms["prefer"] = optical_flow.motion_prior(side * places, moving, valid)
                total += options.equivariance_weight * terms["prefer"]
        return base.Losses({"model": total}, terms)

    def canvases(self, images: tf.Tensor) -> tf.Tensor:
        """What `detect` takes, `[B, P, P, 3]`, of `images [B, S, S, 3]` in [0, 1]."""
        return padded_pairs.pad(self._squeezed(images), self._canvas_size)

    def detect(self, canvases: tf.Tensor, training: bool = False) -> Found:
        """Finds landmarks on `canvases [B, P, P, 3]`."""
        scores = tf.cast(self.detector(canvases, training=training), tf.float32)
        maps = tf.nn.softmax(self.options.output_scale * scores)
        axis = _centres(maps.shape[1])
        means, variances = [], []
        for other in (2, 1):
            # Sums before slices: the gradient of a slice of all maps is as large as these.
            sums = tf.reduce_sum(maps, axis=other)[..., :-1]
            marginal = sums / (tf.reduce_sum(sums, axis=1, keepdims=True) + 1e-6)
            mean = tf.einsum("bnk,n->bk", marginal, axis)
            offsets = axis[:, tf.newaxis] - mean[:, tf.newaxis]
            means.append(mean)
            variances.append(tf.reduce_sum(marginal * offsets**2, axis=1))
        return Found(tf.stack(means, axis=-1), tf.stack(variances, axis=-1), maps)

    def represent(self, images: tf.Tensor, training: bool = False) -> base.Landmarks:
        """See the base class; heatmaps are what of the maps lies in the image."""
        found = self.detect(self.canvases(images), training)
        landmarks = coordinates.corner_from_edge(
            found.places * self.padding, (self.spec.image_size,) * 2
        )
        cells = found.maps.shape[1]
        margin = round(cells * (1 - 1 / self.padding) / 2)
        inside = found.maps[:, margin : cells - margin, margin : cells - margin, :-1]
        total = tf.reduce_sum(inside, axis=[1, 2], keepdims=True)
        spread = tf.reduce_sum(found.variances, axis=-1) * self.padding**2
        confidence = tf.exp(-spread / (2.0 * CONFIDENCE_STD**2))
        return base.Landmarks(landmarks, inside / (total + 1e-12), confidence)

    def render(self, images: tf.Tensor, landmarks: tf.Tensor) -> tf.Tensor:
        """See the base class."""
        size = (self.spec.image_size,) * 2
        return self.decode(
            coordinates.edge_from_corner(landmarks, size) / self.padding,
            self.describe_images(images),
        )

    def describe_images(self, images: tf.Tensor) -> tf.Tensor | None:
        """The descriptors `[B, K + 1, C]` of `images [B, S, S, 3]`; None of a model without."""
        padded = self.canvases(images)
        return self._describe(padded, self.detect(padded).maps, training=False)

    def decode(self, places: tf.Tensor, descriptors: tf.Tensor | None) -> tf.Tensor:
        """Draws `[B, S, S, 3]` in [0, 1] of places `[B, K, 2]` (edge convention of the canvas)."""
        return self._colours(self._decode(places, descriptors, training=False))

    def _warped(self, padded: tf.Tensor, batch: dict[str, tf.Tensor], training: bool):
        """The source, and the warp that moves its points into the target."""
        by_grid = padded_pairs.grid_warp(batch["similarity"], batch["shifts"])
        if not self.options.landmark_warps:
            return batch["source"], by_grid
        chosen = batch["chance"] < self._landmark_share()

        def of_landmarks():
            # By the batch's statistics, as all of the step: moving ones depend on when a run was evaluated.
            places = tf.stop_gradient(self.detect(padded, training).places)
            centre = tf.reduce_mean(places, axis=1, keepdims=True)
            spread = tf.sqrt(tf.reduce_mean((places - centre) ** 2, axis=[1, 2]))
            apart = chosen & (spread >= _MIN_SPREAD)
            warp = padded_pairs.landmark_warp(batch["similarity"], places, batch["landmark_shifts"])
            mine = apart[:, tf.newaxis, tf.newaxis]
            source = tf.where(mine[..., tf.newaxis], warp.images(padded), batch["source"])
            return source, places, apart

        def of_grid():
            return batch["source"], tf.zeros_like(batch["landmark_shifts"]), tf.zeros_like(chosen)

        source, places, apart = tf.cond(tf.reduce_any(chosen), of_landmarks, of_grid)
        # Coinciding landmarks, as those of the other branch, make no spline worth solving.
        lattice = tf.constant(_lattice(self.spec.num_landmarks), tf.float32)
        control = tf.where(apart[:, tf.newaxis, tf.newaxis], places, lattice)
        by_landmarks = padded_pairs.landmark_warp(
            batch["similarity"], control, batch["landmark_shifts"]
        )

        def moved(points: tf.Tensor) -> tf.Tensor:
            return tf.where(apart[:, tf.newaxis, tf.newaxis], by_landmarks(points), by_grid(points))

        return tf.stop_gradient(source), moved

    def _describe(self, padded: tf.Tensor, maps: tf.Tensor, training: bool) -> tf.Tensor | None:
        if not self.has_descriptors:
            return None
        features = tf.cast(self.describer(padded, training=training), tf.float32)
        weights = tf.reduce_sum(maps, axis=[1, 2])[..., tf.newaxis]
        pooled = tf.einsum("bhwk,bhwc->bkc", maps, features) / (weights + 1e-6)
        return tf.einsum("bkc,kcd->bkd", pooled, self.describe) + self.describe_bias

    def rendered(self, places: tf.Tensor) -> tf.Tensor:
        """Maps of landmarks and background for the decoder, `[B, m, m, 5, K + 1]`, each pixel's sum 1."""
        axis = _centres(self.rendered_size)
        own = places * self.padding  # edge convention of the image
        squares = [
            (axis[tf.newaxis, :, tf.newaxis] - own[:, tf.newaxis, :, i]) ** 2 / 4.0 for i in (0, 1)
        ]
        squared = squares[0][:, :, tf.newaxis] + squares[1][:, tf.newaxis]  # [B, m, m, K], in sides
        widths = tf.constant(_RENDER_WIDTHS, tf.float32)[:, tf.newaxis]
        peak = 1.0 / (2.0 * math.pi * widths**2)
        if self.options.heatmap == "released":
            peak /= widths**2 * self.rendered_size**2
        density = tf.math.log(peak) - squared[..., tf.newaxis, :] / (2.0 * widths**2)
        # A softmax shares out the densities, of which the background's is 1 everywhere.
        return tf.nn.softmax(tf.concat([density, tf.zeros_like(density[..., :1])], axis=-1))

    def _decode(
        self, places: tf.Tensor, descriptors: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        """What the decoder says of each pixel, before the sigmoid."""
        maps = self.rendered(places)
        size = self.rendered_size
        inputs = [tf.reshape(maps, [-1, size, size, maps.shape[3] * maps.shape[4]])]
        if descriptors is not None:
            painted = tf.einsum("bkd,kdf->bkf", descriptors, self.paint) + self.paint_bias
            if self.options.descriptor_activation:
                painted = tf.nn.leaky_relu(painted, 0.2)
            features = tf.einsum("bhwjk,bkf->bhwjf", maps, painted)
            inputs.append(tf.reshape(features, [-1, size, size, maps.shape[3] * self._painted]))
        output = self.decoder(tf.concat(inputs, axis=-1), training=training)
        return self.options.output_scale * tf.cast(output, tf.float32)

    def _colours(self, output: tf.Tensor) -> tf.Tensor:
        channels = output.shape[-1] // (2 if self.options.predict_deviation else 1)
        mean = self._stretched(tf.sigmoid(output[..., :channels]))
        return mean if channels == 3 else tf.repeat(mean, 3, axis=-1)

    def _squeezed(self, images: tf.Tensor) -> tf.Tensor:
        """Colours as the networks see them."""
        return 0.1 + 0.8 * images if self.options.squeeze_colors else images

    def _stretched(self, images: tf.Tensor) -> tf.Tensor:
        """The inverse, in [0, 1]."""
        if not self.options.squeeze_colors:
            return images
        return tf.clip_by_value((images - 0.1) / 0.8, 0.0, 1.0)

    def _reconstruction(self, target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Minus the logarithm of the likelihood, summed over pixels and channels (equation 17)."""
        options = self.options
        channels = output.shape[-1] // (2 if options.predict_deviation else 1)
        logits = output[..., :channels]
        if channels == 1:
            target = tf.reduce_mean(target, axis=-1, keepdims=True)
        if options.reconstruction == "bernoulli":
            errors = tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
        else:
            squares = (target - tf.sigmoid(logits)) ** 2
            if options.predict_deviation:
                std = 0.5 * tf.math.softplus(math.log(2.0) + output[..., channels:])
                errors = squares / (2.0 * std**2) + tf.math.log(std) + 0.5 * math.log(2 * math.pi)
            elif options.loss_scale == "released":
                errors = 0.5 * squares + 0.5 * math.log(2.0 * math.pi)
            else:
                count = target.shape[1] * target.shape[2] * channels
                errors = squares / 0.05**2 + math.log(2.0 * math.pi * 0.05**2) / count
        return tf.reduce_mean(tf.reduce_sum(errors, axis=[1, 2, 3]))

    def _reconstruction_weight(self) -> tf.Tensor:
        options, step = self.options, self.steps_done
        weight = tf.constant(options.reconstruction_weight)
        rises = (
            (options.reconstruction_step_1, options.reconstruction_factor),
            (options.reconstruction_step_2, 10.0),
        )
        for start, factor in rises:
            if start:
                weight *= tf.where(step >= start, factor, 1.0)
        return weight

    def _landmark_share(self) -> tf.Tensor:
        """The probability that a warp is around landmarks, at the current step."""
        options = self.options
        length = max(1, options.landmark_warps_full - options.landmark_warps_from)
        done = tf.cast(self.steps_done - options.landmark_warps_from, tf.float32) / length
        return options.landmark_warps * tf.clip_by_value(done, 0.0, 1.0)

    def _schedule(self, steps: int) -> schedules.LearningRate:
        options = self.options
        return schedules.learning_rate(
            options.schedule, options.learning_rate, steps,
            drops=(options.learning_rate_step_1, options.learning_rate_step_2),
        )  # fmt: skip


def canvas_side(spec: base.ModelSpec, options: LmdisOptions) -> int:
    """Side of the padded image, pixels."""
    if options.canvas_size:
        return options.canvas_size
    if spec.image_size not in _CANVASES:
        known = ", ".join(map(str, sorted(_CANVASES)))
        raise UserError(
            f"--image_size={spec.image_size} has no canvas by default (only {known} have); "
            "give its side by --lmdis_canvas_size"
        )
    return _CANVASES[spec.image_size]


def architecture(spec: base.ModelSpec, options: LmdisOptions) -> str:
    """Which networks `auto` means."""
    if options.architecture != "auto":
        return options.architecture
    return {128: "large", 28: "digits"}.get(spec.image_size, "standard")


def _centres(count: int) -> tf.Tensor:
    """Places of cells along an axis, edge convention."""
    return tf.constant((2 * np.arange(count) + 1) / count - 1, tf.float32)


def _lattice(count: int) -> np.ndarray:
    """Some places apart from each other, `[count, 2]`."""
    side = math.ceil(math.sqrt(count))
    return 0.5 * coordinates.corner_grid((max(side, 2),) * 2).reshape(-1, 2)[:count]


def _levels(width: int, *levels: tuple[tuple[int, ...], tuple[int, ...]]) -> list[Level]:
    """Levels whose channels are stated for a width of 32."""
    return [
        Level(*(tuple(max(1, c * width // 32) for c in way) for way in level)) for level in levels
    ]


# What the sides of image and canvas are multiples of.
_MULTIPLES = {"standard": (16, 8), "large": (32, 32), "digits": (4, 8), "small": (4, 4)}

# The networks, from the image's size down; channels of the published width.
_DETECTOR = (((32, 32), (32,)), ((64, 64), (64, 32)), ((64, 64), (64, 64)), ((64, 64), (64, 64)))
_DESCRIBER = (((32, 64), (64, 64)), ((128,), (64,)), ((256,), (128,)), ((512,), (256,)))
_DECODER = (
    ((64, 64), (32,)), ((128,), (64,)), ((256,), (128,)), ((512,), (256,)), ((512,), (512,)),
)  # fmt: skip
_LARGE = (
    ((64,), (32,)), ((128,), (64,)), ((256,), (128,)), ((512,), (256,)), ((512,), (512,)),
)  # fmt: skip
_LARGE_DECODER = (((64,), (64,)), *_LARGE[1:])
_SMALL = (((32,), (32,)), ((64,), (32,)), ((64,), (64,)))
_DIGITS_DECODER = (((64, 64), (32,)), ((128,), (64,)), ((256,), (128,)))


class _Stemmed(tf.keras.layers.Layer):
    """An hourglass at half the canvas, behind a convolution and a maximum (128 px)."""

    def __init__(self, width: int, common: dict, **kwargs):
        super().__init__(**kwargs)
        self.stem = blocks.ConvBlock(width, **common)
        self.hourglass = Hourglass(_levels(width, *_LARGE), 2, False, common)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = tf.nn.max_pool2d(self.stem(images, training=training), 2, 2, "VALID")
        return self.hourglass(features, training=training)


class _Detector(tf.keras.layers.Layer):
    """Canvas to K + 1 score maps, at its size or half of it."""

    def __init__(self, kind: str, width: int, count: int, common: dict, **kwargs):
        super().__init__(**kwargs)
        self._is_grey = kind == "digits"
        self.scores = None
        if kind == "large":
            self.network = _Stemmed(width, common)
            self.scores = blocks.ConvBlock(count, 1, **{**common, "leak": 1.0})
        else:
            levels = _levels(width, *(_SMALL if kind == "small" else _DETECTOR))
            levels[0] = Level(levels[0].down, (*levels[0].up, count))
            self.network = Hourglass(levels, 1 if kind == "small" else 3, True, common)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self._is_grey:
            images = tf.reduce_mean(images, axis=-1, keepdims=True)
        features = self.network(images, training=training)
        return features if self.scores is None else self.scores(features, training=training)


class _Describer(tf.keras.layers.Layer):
    """Canvas to features, at the size of the score maps."""

    def __init__(self, kind: str, width: int, common: dict, **kwargs):
        super().__init__(**kwargs)
        if kind == "large":
            self.network, self.channels = _Stemmed(width, common), width
        else:
            levels = _levels(width, *(_SMALL if kind == "small" else _DESCRIBER))
            self.network = Hourglass(levels, 1 if kind == "small" else 2, False, common)
            self.channels = levels[0].up[-1]

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.network(images, training=training)


class Decoder(tf.keras.layers.Layer):
    """Maps and painted features to what is said of each pixel."""

    def __init__(self, kind: str, width: int, channels: int, common: dict, **kwargs):
        super().__init__(**kwargs)
        self.double = None
        if kind == "large":
            self.network = Hourglass(_levels(width, *_LARGE_DECODER), 2, False, common)
            self.double = tf.keras.layers.Conv2DTranspose(
                width, 3, 2, padding="same", use_bias=False,
                kernel_initializer=common["initializer"](),
                kernel_regularizer=tf.keras.regularizers.L2(common["weight_decay"] / 2.0),
            )  # fmt: skip
            self.norm = tf.keras.layers.BatchNormalization(
                momentum=common["momentum"], synchronized=common["sync_batch_norm"]
            )
            self.last = blocks.ConvBlock(channels, **{**common, "leak": 1.0})
        else:
            stated = {"digits": _DIGITS_DECODER, "small": _SMALL}.get(kind, _DECODER)
            levels = _levels(width, *stated)
            levels[0] = Level(levels[0].down, (*levels[0].up, channels))
            self.network = Hourglass(levels, 1 if kind == "small" else 2, True, common)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        output = self.network(inputs, training=training)
        if self.double is None:
            return output
        doubled = tf.nn.leaky_relu(self.norm(self.double(output), training=training), 0.2)
        return self.last(doubled, training=training)
