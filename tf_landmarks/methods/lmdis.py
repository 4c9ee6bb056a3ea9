"""LMDIS: landmarks as the structure of an autoencoder (Zhang, Guo, Jin, Luo, He, Lee, CVPR 2018).

A detector makes K + 1 score maps, of K landmarks and the background; a softmax over the maps shares out each
pixel. A landmark is the mean place of its map; each map pools a descriptor from the features of a second network,
and a decoder redraws the image from both alone. Landmarks must be concentrated, apart, and follow known warps.

Where paper and code differ, docs/lmdis.md says what is followed and why: by default the released code's
scales of losses (`loss_scale`), the paper's maps for the decoder, landmark warps at a rate of 0.3 as in the
paper. Statistics of batch normalisation are estimated again before each evaluation, as published
(`bn_reestimation_batches`).

Landmarks are in the edge convention of the canvas; in losses, lengths are in units of the image's side, which is what
the published weights mean. The networks are in lmdis_networks.py, warps around landmarks in lmdis_warps.py.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import padded_pairs
from tf_landmarks.data import samplers
from tf_landmarks.errors import UserError
from tf_landmarks.layers import soft_argmax
from tf_landmarks.losses import likelihood, optical_flow, structure
from tf_landmarks.methods import base, lmdis_networks, lmdis_warps, optimizers, schedules
from tf_landmarks.methods.lmdis_networks import ARCHITECTURES, Detection


@dataclasses.dataclass(frozen=True)
class LmdisOptions(optimizers.OptimizerOptions):
    """Options of LMDIS; the defaults are those for CelebA with 10 landmarks."""

    architecture: Literal["auto", "standard", "large", "digits", "small"] = base.option(
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
    optical_flow: bool = base.option(
        False,
        "landmarks shall follow the optical flow of videos too, over two intervals, besides warps",
    )
    optical_flow_interval: int = base.option(
        5, "frames from one to the next of three between which it is taken"
    )
    optical_flow_window: int = base.option(
        15, "side of what the flow takes to move alike, pixels; small images want less"
    )
    motion_prior: bool = base.option(
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
        "batches on which its statistics are measured at the end, and before an evaluation or a checkpoint up to one "
        "for every ten steps since the last; 0: moving averages",
    )
    weight_decay: float = base.option(1e-6, "c of c * 1/2 |W|^2 on kernels")
    schedule: schedules.Schedule = base.option(
        "steps",
        "how the learning rate falls; steps: to a tenth at each of learning_rate_step_1 and 2",
    )
    learning_rate_step_1: int = base.option(100_000, "first step of the schedule of steps")
    learning_rate_step_2: int = base.option(200_000, "second step of the schedule of steps")


class Lmdis(base.LandmarkModel):
    """The model; see the module's head."""

    options_class = LmdisOptions
    can_grow = False  # the last map is the background's
    terms: ClassVar[Mapping[str, str]] = {
        "recon": "error of the redrawn image, as the loss counts it; should fall",
        "conc": "how wide the heatmaps are (sum of their variances); falls as landmarks become sure",
        "sep": "how near landmarks are to each other; falls as they part",
        "eqv": "squared distance between a landmark in a warped image and the warped landmark; should fall",
        "mse": "mean squared error of the redrawn pixels, colours from 0 to 1",
        "flow": "squared distance between a landmark in a later frame and where the optical flow brings it",
        "prefer": "how little moves where landmarks are; falls as they sit on what moves",
    }
    remedies = base.Remedies(
        dead="with a higher --lmdis_separation_weight or --lmdis_separation_width",
        spread="with a higher --lmdis_separation_weight or --lmdis_separation_width",
        warps="with a higher --lmdis_equivariance_weight",
        capacity="with a wider network (--lmdis_width)",
    )

    def __init__(self, spec: base.ModelSpec, options: LmdisOptions, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        self._canvas_size = lmdis_networks.canvas_side(spec.image_size, options.canvas_size)
        #: How many times the image's side the canvas is.
        self.padding = self._canvas_size / spec.image_size
        name = lmdis_networks.architecture_name(spec.image_size, options.architecture)
        self._architecture = ARCHITECTURES[name]
        #: Side of the maps that the decoder sees, cells.
        self.rendered_size = spec.image_size // self._architecture.scale
        self._common = {
            "weight_decay": options.weight_decay,
            "sync_batch_norm": spec.sync_batch_norm,
            "initializer": tf.keras.initializers.GlorotUniform,
            "momentum": options.norm_momentum,
            "leak": 0.2,
        }
        num_maps = spec.num_landmarks + 1
        shape = (self._architecture, options.width)
        self.detector = lmdis_networks.Detector(*shape, num_maps, self._common)
        self.has_descriptors = options.descriptor > 0
        if self.has_descriptors:
            self.describer = lmdis_networks.Describer(*shape, self._common)
            self.descriptors = lmdis_networks.Descriptors(
                num_maps, options.descriptor, self.describer.channels, options.width,
                options.weight_decay, options.descriptor_activation,
            )  # fmt: skip
        colours = 1 if self._architecture.is_grey else 3
        self.decoder = self.make_decoder(colours * (2 if options.predict_deviation else 1))

    @classmethod
    def check(cls, spec: base.ModelSpec, options: LmdisOptions) -> None:
        """Image and canvas must halve as often as the hourglasses do."""
        size = lmdis_networks.canvas_side(spec.image_size, options.canvas_size)
        name = lmdis_networks.architecture_name(spec.image_size, options.architecture)
        lmdis_networks.check_sizes(name, spec.image_size, size)
        for flag, least in (("optical_flow_interval", 1), ("optical_flow_window", 3)):
            if options.optical_flow and getattr(options, flag) < least:
                raise UserError(f"--lmdis_{flag}={getattr(options, flag)} must be at least {least}")

    def make_decoder(self, channels: int, **changes) -> lmdis_networks.Decoder:
        """Makes a decoder like this model's, of `channels` numbers per pixel; `changes` of its blocks."""
        common = {**self._common, **changes}
        return lmdis_networks.Decoder(self._architecture, self.options.width, channels, common)

    @property
    def bn_reestimation_batches(self) -> int:
        """See the base class."""
        return self.options.bn_reestimation_batches

    @property
    def stages(self) -> list[base.Stage]:
        """A single stage."""
        options = self.options
        clips = samplers.Clips(options.optical_flow_interval, length=3)
        augmentation = padded_pairs.PaddedPair(
            self._canvas_size, options.warp, options.landmark_displacement,
            self.spec.num_landmarks, options.color_jitter, options.optical_flow_window,
            clips if options.optical_flow else samplers.SingleImages(),
        )  # fmt: skip
        player = optimizers.player("model", options)
        return [base.Stage("main", augmentation, self.compute_losses, (player,))]

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Terms as in docs/lmdis.md, "Losses", lengths in the image's side: `recon`, `conc`, `sep`, `eqv`, `mse`.

        With optical flow also `flow` and `prefer`.
        """
        options = self.options
        batch = {
            name: self._squeezed(value) if name in ("target", "source", "later") else value
            for name, value in batch.items()
        }
        target = batch["target"]
        padded = padded_pairs.pad(target, self._canvas_size)
        source, to_target = self._warped(padded, batch, training)
        canvases = [padded, source, *([batch["later"]] if options.optical_flow else [])]
        detection = self.detect(tf.concat(canvases, axis=0), training)
        in_target, in_source, *in_later = tf.split(detection.landmarks_edge, len(canvases))
        maps = tf.split(detection.maps, len(canvases))[0]
        output = self._decode(in_target, self._describe(padded, maps, training), training)

        side = self.padding / 2.0  # from the canvas' edge convention to the image's side
        separation = structure.separation(detection.landmarks_edge * side, options.separation_width)
        missed = side * (to_target(in_source) - in_target)
        terms = {
            "recon": self._reconstruction(target, output),
            "conc": tf.reduce_mean(structure.concentration(detection.variances * side**2)),
            "sep": tf.reduce_mean(separation),
            "eqv": tf.reduce_mean(tf.reduce_sum(missed**2, axis=[1, 2])),
            "mse": tf.reduce_mean((self._stretched(target) - self._colours(output)) ** 2),
        }
        if options.optical_flow:
            flow, valid = batch["flow"], batch["valid"]
            terms["flow"] = optical_flow.flow_equivariance(
                side * in_target, side * in_later[0], flow, valid
            )
            if options.motion_prior:
                terms["prefer"] = optical_flow.motion_prior(side * in_target, flow, valid)
        return base.Losses({"model": self._total(terms)}, terms)

    def _total(self, terms: dict[str, tf.Tensor]) -> tf.Tensor:
        """The weighted sum of the terms."""
        options = self.options
        scale = 4.0 / self.padding if options.loss_scale == "released" else 1.0
        total = (
            self._reconstruction_weight() * terms["recon"]
            + options.concentration_weight * terms["conc"]
            + options.separation_weight * terms["sep"]
            + options.equivariance_weight * scale * terms["eqv"]
        )
        if "flow" in terms:
            total += options.equivariance_weight * scale * terms["flow"]
        if "prefer" in terms:
            total += options.equivariance_weight * terms["prefer"]
        return total

    def canvases(self, images: tf.Tensor) -> tf.Tensor:
        """Makes what `detect` takes, `[B, P, P, 3]`, of `images [B, S, S, 3]` in [0, 1]."""
        return padded_pairs.pad(self._squeezed(images), self._canvas_size)

    def detect(self, canvases: tf.Tensor, training: bool = False) -> Detection:
        """Finds landmarks on `canvases [B, P, P, 3]`."""
        scores = tf.cast(self.detector(canvases, training=training), tf.float32)
        maps = tf.nn.softmax(self.options.output_scale * scores)
        cells = lmdis_networks.cell_centres(maps.shape[1])
        means, variances = [], []
        for summed in (2, 1):
            # Sums before slices: the gradient of a slice of all maps is as large as these.
            sums = tf.reduce_sum(maps, axis=summed)[..., :-1]
            marginal = sums / (tf.reduce_sum(sums, axis=1, keepdims=True) + 1e-6)
            mean, variance = soft_argmax.moments(marginal, cells)
            means.append(mean)
            variances.append(variance)
        return Detection(tf.stack(means, axis=-1), tf.stack(variances, axis=-1), maps, scores)

    def represent(self, images: tf.Tensor, training: bool = False) -> base.Landmarks:
        """See the base class; maps are what of the canvas' maps lies in the image."""
        detection = self.detect(self.canvases(images), training)
        points = coordinates.corner_from_edge(
            detection.landmarks_edge * self.padding, (self.spec.image_size,) * 2
        )
        cells = detection.maps.shape[1]
        margin = round(cells * (1 - 1 / self.padding) / 2)
        inside, scores = (
            maps[:, margin : cells - margin, margin : cells - margin, :-1]
            for maps in (detection.maps, detection.scores)
        )
        total = tf.reduce_sum(inside, axis=[1, 2], keepdims=True)
        variance = tf.reduce_sum(detection.variances, axis=-1) * self.padding**2
        confidence = soft_argmax.confidence_of(variance)
        return base.Landmarks(points, inside / (total + 1e-12), scores, confidence)

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

    def rendered(self, landmarks_edge: tf.Tensor) -> tf.Tensor:
        """Draws `landmarks_edge [B, K, 2]` for the decoder, see `lmdis_networks.rendered_maps`."""
        is_released = self.options.heatmap == "released"
        in_image = landmarks_edge * self.padding
        return lmdis_networks.rendered_maps(in_image, self.rendered_size, is_released)

    def decode(self, landmarks_edge: tf.Tensor, descriptors: tf.Tensor | None) -> tf.Tensor:
        """Draws `[B, S, S, 3]` in [0, 1] of `landmarks_edge [B, K, 2]` (of the canvas)."""
        return self._colours(self._decode(landmarks_edge, descriptors, training=False))

    def _warped(
        self, padded: tf.Tensor, batch: dict[str, tf.Tensor], training: bool
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        """The source, and the warp that moves its points into the target."""
        if not self.options.landmark_warps:
            warp = padded_pairs.grid_warp(batch["similarity"], batch["shifts"])
            return batch["source"], warp

        def detect(canvas: tf.Tensor) -> tf.Tensor:
            # By the batch's statistics, as all of the step: moving ones depend on when a run was evaluated.
            return self.detect(canvas, training).landmarks_edge

        is_shared = tf.distribute.get_strategy().num_replicas_in_sync > 1
        together = self.spec.sync_batch_norm and is_shared
        return lmdis_warps.warped_source(padded, batch, self._landmark_share(), detect, together)

    def _describe(self, padded: tf.Tensor, maps: tf.Tensor, training: bool) -> tf.Tensor | None:
        if not self.has_descriptors:
            return None
        return self.descriptors.describe(maps, self.describer(padded, training=training))

    def _decode(
        self, landmarks_edge: tf.Tensor, descriptors: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        """What the decoder says of each pixel, before the sigmoid."""
        maps = [self.rendered(landmarks_edge)]
        if descriptors is not None:
            maps.append(self.descriptors.paint(descriptors, maps[0]))
        output = self.decoder(lmdis_networks.joined(maps), training=training)
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
            errors = likelihood.bernoulli(target, logits)
        elif options.predict_deviation:
            deviation = output[..., channels:]
            errors = likelihood.predicted_gaussian(target, tf.sigmoid(logits), deviation)
        elif options.loss_scale == "released":
            errors = likelihood.unit_gaussian(target, tf.sigmoid(logits))
        else:
            errors = likelihood.paper_gaussian(target, tf.sigmoid(logits))
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
        options, step = self.options, self.steps_done
        first, last = options.landmark_warps_from, options.landmark_warps_full
        return options.landmark_warps * lmdis_warps.ramp(step, first, last)
