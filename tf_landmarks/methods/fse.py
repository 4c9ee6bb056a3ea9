"""FSE: landmarks by factorized spatial embeddings (Thewlis, Bilen, Vedaldi, ICCV 2017).

A small network makes one score map per landmark; a softmax over places makes it a distribution, whose
mean is the landmark. The target is a warp of an image, the source a known warp g of the target. Two
losses train it, and nothing else: each landmark of the source, moved by g, must meet itself in the
target, and different landmarks must be in different places.

The authors' training code was not published. What the paper leaves open is set as in docs/fse.md: kernel
sizes as in the network it copies, images minus 1/2, batch normalisation as published also on the scores,
alignment measured in cells of the score map, for which the published weight of 500 is balanced. What
must stall for the learning rate to fall is the training loss, not one of held-out images. The U-Net among its networks is ours.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import ClassVar, Literal

import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import known_warp_pairs, sampling, tps
from tf_landmarks.data import samplers
from tf_landmarks.errors import UserError
from tf_landmarks.layers import blocks, soft_argmax, tcdcn, unet
from tf_landmarks.losses import structure
from tf_landmarks.methods import base, optimizers, schedules

Architecture = Literal["plain", "dilated", "unet"]

_NORM_MOMENTUM = 0.9
_draw_kernel = functools.partial(tf.keras.initializers.RandomNormal, stddev=0.02)


@dataclasses.dataclass(frozen=True)
class FseOptions(optimizers.OptimizerOptions):
    """Options of FSE; the defaults are the paper's for faces."""

    architecture: Architecture = base.option(
        "plain",
        "plain: as published; dilated: that of the authors' later code, which sees 54 pixels; unet: not published, sees more and is "
        "quicker",
    )
    score_activation: bool = base.option(
        True, "batch normalisation and ReLU on the scores of the plain network too"
    )
    alignment: Literal["maps", "points"] = base.option(
        "maps", "what must agree under the warp: distributions (equation 6) or their means (5)"
    )
    units: Literal["cells", "normalized"] = base.option(
        "cells", "unit of lengths in the alignment: cells of the map, or half its side"
    )
    diversity: Literal["max", "pairwise"] = base.option(
        "max", "what keeps landmarks apart: equation 8, or 7 (over pairs, never pooled)"
    )
    diversity_weight: float = base.option(500.0, "gamma, weight of the diversity of each image")
    pool: int = base.option(5, "side of the blocks over which maps are summed first, cells")
    pairing: Literal["warps", "frames"] = base.option(
        "warps",
        "both images of a pair are warps of one; frames: of two aligned images of one object, as "
        "under different light",
    )
    first_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(0.0, 0.0, 0.0, 0.001, 0.001),
        "warp of both images, of the image's whole side",
    )
    second_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(20.0, 0.05, 0.1, 0.001, 0.01), "warp from target to source"
    )
    control_side: int = base.option(10, "control points of a warp along each side")
    weight_decay: float = base.option(5e-4, "lambda of lambda * 1/2 |W|^2 on convolution kernels")
    learning_rate: float = base.option(1e-4, "Adam's learning rate at the start")
    schedule: schedules.Schedule = base.option("plateau", "how the learning rate falls")


class Fse(base.LandmarkModel, base.HasTrunk):
    """The model; see the module's head."""

    options_class = FseOptions
    terms: ClassVar[Mapping[str, str]] = {
        "align": "squared distance, in cells of the heatmap, between a landmark in a warped image and the warped "
        "landmark; should fall",
        "diversity": "how much the heatmaps of different landmarks overlap; 0 if they are apart",
    }
    remedies = base.Remedies(
        dead="with stronger warps (--fse_second_warp_*)",
        spread="with a higher --fse_diversity_weight",
        warps="with stronger warps (--fse_second_warp_*)",
    )

    def __init__(self, spec: base.ModelSpec, options: FseOptions, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        plain = options.architecture == "plain"
        common = {
            "weight_decay": options.weight_decay,
            "initializer": _draw_kernel if plain else tf.keras.initializers.GlorotNormal,
        }
        normed = {"sync_batch_norm": spec.sync_batch_norm, "momentum": _NORM_MOMENTUM}
        leak = 0.0 if plain else 0.2
        if options.architecture == "unet":
            self.trunk = [unet.UNet(weight_decay=options.weight_decay, **normed)]
        else:
            self.trunk = [
                blocks.ConvBlock(filters, kernel, dilation=dilation, leak=leak, **common, **normed)
                for filters, kernel, dilation in tcdcn.CONVOLUTIONS[options.architecture]
            ]
        if options.score_activation and plain:
            self.head = blocks.ConvBlock(spec.num_landmarks, 1, **common, **normed)
        else:
            self.head = blocks.conv(spec.num_landmarks, 1, **common)

    @classmethod
    def check(cls, spec: base.ModelSpec, options: FseOptions) -> None:
        """The map has half the image's side and must hold a block of the diversity."""
        if options.architecture == "unet":
            unet.check_size(spec.image_size, "--fse_architecture=unet")
        if spec.image_size // 2 < max(options.pool, 2):
            raise UserError(
                f"--image_size={spec.image_size} gives a map of {spec.image_size // 2} cells a side, "
                f"less than --fse_pool={options.pool}"
            )

    @property
    def grid(self) -> int:
        """Cells along a side of the score maps."""
        return self.spec.image_size // 2

    @property
    def stages(self) -> list[base.Stage]:
        """A single stage."""
        options = self.options
        augmentation = known_warp_pairs.KnownWarpPair(
            options.first_warp, options.second_warp, options.control_side,
            self._to_image(coordinates.corner_grid((self.grid, self.grid)).reshape(-1, 2)),
            samplers.FramePairs() if options.pairing == "frames" else samplers.SingleImages(),
        )  # fmt: skip
        player = optimizers.player("model", options)
        return [base.Stage("main", augmentation, self.compute_losses, (player,))]

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Terms: `align` (in the unit of the option, squared), `diversity` (mean over both images)."""
        options = self.options
        both = tf.concat([batch["target"], batch["source"]], axis=0)  # normalised together
        detection = self._detect(both, training)
        target, source = tf.split(detection.heatmaps, 2)
        moved = self._to_map(batch["correspondence"])
        unit = (self.grid - 1) / 2 if options.units == "cells" else (self.grid - 1) / self.grid
        if options.alignment == "maps":
            cells = coordinates.corner_grid((self.grid, self.grid)).reshape(-1, 2)
            align = structure.map_alignment(target, source, unit * cells, unit * moved)
        else:
            in_target, in_source = tf.split(detection.landmarks, 2)
            field = tf.reshape(moved, [-1, self.grid, self.grid, 2])
            # Exact at the centres of cells, and warps are smooth between them.
            arrived = sampling.bilinear(field, in_source[:, tf.newaxis], "edge")[:, 0]
            align = unit**2 * tf.reduce_mean(tf.reduce_sum((in_target - arrived) ** 2, -1), -1)
        if options.diversity == "max":
            overlap = structure.diversity(detection.heatmaps, options.pool)
        else:
            overlap = structure.pairwise_diversity(detection.heatmaps)
        terms = {"align": tf.reduce_mean(align), "diversity": tf.reduce_mean(overlap)}
        # The weight is per image and a pair has two.
        total = terms["align"] + 2.0 * options.diversity_weight * terms["diversity"]
        return base.Losses({"model": total}, terms)

    def represent(self, images: tf.Tensor, training: bool = False) -> base.Landmarks:
        """See the base class."""
        detection = self._detect(images, training)
        return base.Landmarks.of(detection)._replace(points=self._to_image(detection.landmarks))

    def features(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class: what the scores are made of, at half the image's side."""
        features = images - 0.5
        for index, block in enumerate(self.trunk):
            features = block(features, training=training)
            if index == 0 and self.options.architecture != "unet":  # which halves by itself
                features = tf.nn.max_pool2d(features, 2, 2, "VALID")
        return features

    def _detect(self, images: tf.Tensor, training: bool) -> soft_argmax.Detection:
        """Finds landmarks, in the corner convention of the map."""
        features = self.features(images, training)
        if isinstance(self.head, blocks.ConvBlock):
            scores = self.head(features, training=training)
        else:
            scores = self.head(features)
        return soft_argmax.soft_argmax(scores, "joint")

    # A cell is two pixels wide: its centre is half a pixel beside that of its first pixel.

    def _to_image(self, points):
        """Converts from the corner convention of the map to that of the image."""
        cells = coordinates.pixels_from_corner(points, (self.grid, self.grid))
        return coordinates.corner_from_pixels(2.0 * cells + 0.5, (self.spec.image_size,) * 2)

    def _to_map(self, points):
        """Converts from the corner convention of the image to that of the map."""
        pixels = coordinates.pixels_from_corner(points, (self.spec.image_size,) * 2)
        return coordinates.corner_from_pixels((pixels - 0.5) / 2.0, (self.grid, self.grid))
