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

from collections.abc import Callable, Mapping
from typing import ClassVar

import tensorflow as tf

from tf_landmarks.augment import augmentation, frame_pairs, warped_pairs
from tf_landmarks.data import samplers
from tf_landmarks.errors import UserError
from tf_landmarks.layers import blocks, frozen_network, soft_argmax, unet
from tf_landmarks.losses import perceptual
from tf_landmarks.methods import base, imm_networks, optimizers
from tf_landmarks.methods.imm_options import ImmOptions


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
        sync, self._drawn_size = spec.sync_batch_norm, options.drawn_size or spec.image_size
        if options.detector == "unet":
            self.detector = imm_networks.CentredUNet(
                weight_decay=options.weight_decay, sync_batch_norm=sync, name="detector"
            )
        else:
            seen = imm_networks.num_halvings(spec.image_size, options.grid)
            self.detector = imm_networks.Body(seen, options, sync, name="detector")
        halvings = imm_networks.num_halvings(self._drawn_size, options.grid)
        self.bottleneck = imm_networks.BOTTLENECKS[options.bottleneck](
            spec.num_landmarks, options, name="bottleneck"
        )
        self.encoder = imm_networks.Body(halvings, options, sync, name="encoder")
        self.renderer = imm_networks.Renderer(halvings, options, sync, name="renderer")
        if options.adversarial:
            self.discriminator = imm_networks.Discriminator(2 * options.width, name="discriminator")

    @classmethod
    def check(cls, spec: base.ModelSpec, options: ImmOptions) -> None:
        """IMM takes its grid times a power of two: 32, 64, 128 or 256 px with 16 cells; a U-Net sees any multiple of 8."""
        size, drawn = spec.image_size, options.drawn_size
        if drawn and size % drawn:
            raise UserError(f"--imm_drawn_size={drawn} does not divide --image_size={size}")
        if options.detector == "unet":
            unet.check_size(size, "--imm_detector=unet")
        else:
            _check_fits_grid("image_size", size, options.grid)
        _check_fits_grid("imm_drawn_size" if drawn else "image_size", drawn or size, options.grid)

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
            network, size = self.loss_network, self.options.loss_zoom * self._drawn_size
            levels = ("input", *(network.levels(size) if network else ()))
            self.balance = perceptual.RunningBalance(
                levels, self.options.loss_stop_gradient, self.options.loss_start
            )
        super().build_variables(for_training)

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Rebuilds the target; terms: `m_<level>` (masked mean squared errors), `mse` of pixels."""
        landmarks = self._detect(batch["target"], training).landmarks
        batch = {name: self._shrink(batch[name]) for name in ("target", "source", "mask")}
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
        look = self.encoder(self._shrink(images), training=False)
        return self._finished(self._generate(look, landmarks, training=False))

    def render_parts(self, images: tf.Tensor) -> base.Parts:
        """See the base class."""
        look = self.encoder(self._shrink(images), training=False)
        maps = self.bottleneck.maps(self.represent(images).points)
        inputs = ((look, tf.zeros_like(maps)), (tf.zeros_like(look), maps))
        return base.Parts(*(self._finished(self._draw(*i, training=False)) for i in inputs))

    def _shrink(self, images: tf.Tensor) -> tf.Tensor:
        """Images as encoder and renderer have them: means over blocks of pixels."""
        times = self.spec.image_size // self._drawn_size
        return tf.nn.avg_pool2d(images, times, times, "VALID") if times > 1 else images

    def _finished(self, drawn: tf.Tensor) -> tf.Tensor:
        """What was drawn as an image of the model's size, in [0, 1]."""
        return tf.clip_by_value(blocks.resize(drawn, (self.spec.image_size,) * 2), 0.0, 1.0)

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


def _check_fits_grid(flag: str, side: int, grid: int) -> None:
    sizes = [grid * 2**n for n in range(1, 5)]
    if side not in sizes:
        raise UserError(
            f"--{flag}={side} does not fit --imm_grid={grid} cells; IMM then takes "
            f"{', '.join(map(str, sizes))}"
        )
