"""DVE: a descriptor at every place, by equivariance and vector exchange (Thewlis, Albanie, Bilen, Vedaldi, ICCV 2019).

Two images are warps of one, so that it is known where each place of the first lies in the second. Its descriptor must
find it there: the distance of every place, weighed by how alike its descriptor is, is what is made small. Descriptors
that do this alone tell apart whatever one image shows, and need not mean the same in another image. Vector
exchange makes them: before it is looked for, each descriptor is said in the words of an image of another object.

What differs from the authors' code: images are read once, through both warps, and their edges continue where nothing is
loaded; cells are half a pixel beside where they count them. docs/dve.md has the reasons.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import known_warp_pairs, photometric, recolored, tps
from tf_landmarks.errors import UserError
from tf_landmarks.layers import dve_networks, grouped_norm, unet
from tf_landmarks.losses import contrastive
from tf_landmarks.methods import base, optimizers

Network = Literal["hourglass", "smallnet", "unet"]

_STRIDE = 2  # pixels a cell, of each network
_PUBLISHED = {"hourglass": dve_networks.DescriptorHourglass, "smallnet": dve_networks.SmallNet}
#: Sides that each network takes are multiples of this.
_MULTIPLE: Mapping[Network, int] = {"hourglass": 32, "smallnet": 2, "unet": unet.MULTIPLE}


@dataclasses.dataclass(frozen=True)
class DveOptions(optimizers.OptimizerOptions):
    """Options of DVE; the defaults are those of the authors' Hourglass."""

    network: Network = base.option(
        "hourglass",
        "hourglass and smallnet: as published; unet: of 250 000 parameters, for a CPU",
    )
    descriptor_dim: int = base.option(64, "numbers of a descriptor")
    descriptor_norm: float = base.option(
        20.0, "length that each descriptor is brought to; 0: left as it is (smallnet, as published)"
    )
    exchange: bool = base.option(
        True, "vector exchange: descriptors go through another image before they are looked for"
    )
    query_stride: int = base.option(
        1,
        "of the places of an image, every so many-th along each side is looked for; 2 is a quarter of the work",
    )
    distance_power: float = base.option(0.5, "power of the distance in the loss, in pixels")
    first_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(5.0, 0.1, 0.1, 5e-4, 5e-3), "warp of both images"
    )
    second_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(5.0, 0.1, 0.1, 1e-3, 1e-2), "warp of one against the other"
    )
    control_side: int = base.option(10, "control points of a warp along each side")
    color: photometric.PhotometricStrength = base.option(
        photometric.PhotometricStrength(), "changes of colour of each image by itself"
    )
    amsgrad: bool = base.option(True, "Adam that never takes longer steps again (AMSGrad)")
    bias_learning_rate: float = base.option(
        0.0, "rate of the biases of convolutions at the start; 0: that of all (smallnet: 1e-5)"
    )


class Dve(base.FeatureModel):
    """The model; see the module's head."""

    options_class = DveOptions
    terms: ClassVar[Mapping[str, str]] = {
        "distance": "root of the distance, in pixels, at which a place is found on average by its descriptor in "
        "a warp of its image; should fall far below that of descriptors that say nothing, which is about the root "
        "of half the side"
    }
    remedies = base.FeatureRemedies(
        collapse="with a lower --dve_learning_rate",
        directions="with more steps or a larger --dve_descriptor_dim",
        places="with more steps, or a larger --image_size",
        warps="with stronger warps (--dve_second_warp_*)",
    )

    def __init__(self, spec: base.ModelSpec, options: DveOptions, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        if options.network == "unet":
            self.trunk = unet.UNet(sync_batch_norm=spec.sync_batch_norm)
            self.head = tf.keras.layers.Conv2D(options.descriptor_dim, 1)
            return
        norm = functools.partial(
            grouped_norm.GroupedBatchNormalization, synchronized=spec.sync_batch_norm
        )
        self.trunk = _PUBLISHED[options.network](options.descriptor_dim, norm)
        self.head = None

    @classmethod
    def check(cls, spec: base.ModelSpec, options: DveOptions) -> None:
        """The network halves the image a number of times."""
        options.color.check("--dve_color_")
        multiple = _MULTIPLE[options.network]
        if spec.image_size % multiple:
            raise UserError(
                f"--image_size={spec.image_size}: --dve_network={options.network} takes multiples of {multiple}"
            )

    @property
    def stages(self) -> list[base.Stage]:
        """A single stage."""
        options = self.options
        pairs = known_warp_pairs.KnownWarpPair(
            options.first_warp,
            options.second_warp,
            options.control_side,
            self._cells(options.query_stride),
            extra="replace",
        )
        augmentation = recolored.Recolored(pairs, options.color, ("target", "source"))
        return [
            base.Stage(
                "main",
                augmentation,
                self.compute_losses,
                self._players(),
                min_batch=2 if options.exchange else 1,
            )
        ]

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Terms: `distance`, in pixels to the power of the option."""
        both = tf.concat([batch["source"], batch["target"]], axis=0)  # normalised together
        source, target = tf.split(self._describe(both, training), 2)
        stride, size = self.options.query_stride, (self.spec.image_size,) * 2
        query = _in_a_row(source[:, ::stride, ::stride])
        if self.options.exchange:
            query = contrastive.exchange(query, _in_a_row(tf.roll(source, -1, axis=0)))
        goals = coordinates.pixels_from_corner(batch["correspondence"], size)
        places = coordinates.pixels_from_corner(tf.constant(self._cells(), tf.float32), size)
        distance = contrastive.expected_distance(
            query, _in_a_row(target), goals, places, self.options.distance_power
        )
        total = tf.reduce_mean(distance)
        return base.Losses({name: total for name in self._player_names()}, {"distance": total})

    @property
    def descriptor_levels(self) -> tuple[str, ...]:
        """The descriptors; of the U-Net there are other levels."""
        return ("descriptors",)

    def represent(self, images: tf.Tensor, training: bool = False) -> base.Features:
        """Descriptors, `[B, S / 2, S / 2, D]`; of the U-Net what they are made of, at each of its sizes, besides."""
        if self.head is None:
            return base.Features({"descriptors": self._describe(images, training)})
        levels = self.trunk.levels(images - 0.5, training=training)
        named = {f"trunk_{self.spec.image_size // v.shape[1]}": v for v in levels}
        levels = {"descriptors": self._scaled(self.head(levels[0])), **named}
        return base.Features({name: tf.cast(level, tf.float32) for name, level in levels.items()})

    def _describe(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        features = self.trunk(images - 0.5, training=training)
        return self._scaled(features if self.head is None else self.head(features))

    def _scaled(self, descriptors: tf.Tensor) -> tf.Tensor:
        descriptors = tf.cast(descriptors, tf.float32)
        if self.options.descriptor_norm:
            unit = tf.math.l2_normalize(descriptors, axis=-1)
            descriptors = self.options.descriptor_norm * unit
        return descriptors

    def _cells(self, stride: int = 1) -> np.ndarray:
        """Centres of every so many-th cell, `[P, 2]` (y, x) in the corner convention of the image."""
        side = self.spec.image_size // _STRIDE
        cells = coordinates.corner_grid((side, side))[::stride, ::stride].reshape(-1, 2)
        pixels = _STRIDE * coordinates.pixels_from_corner(cells, (side, side)) + 0.5
        return coordinates.corner_from_pixels(pixels, (self.spec.image_size,) * 2)

    def _player_names(self) -> list[str]:
        return [player.name for player in self._players()]

    def _players(self) -> tuple[base.Player, ...]:
        options = self.options
        if not options.bias_learning_rate:
            return (optimizers.player("model", options, amsgrad=options.amsgrad),)
        slow = dataclasses.replace(options, learning_rate=options.bias_learning_rate)
        return (
            optimizers.player(
                "model", options, self._select(lambda v: not _is_bias(v)), amsgrad=options.amsgrad
            ),
            optimizers.player("biases", slow, self._select(_is_bias), amsgrad=options.amsgrad),
        )

    def _select(self, wanted: Callable[[tf.Variable], bool]) -> Callable[[], list[tf.Variable]]:
        return lambda: [v for v in self.trainable_variables if wanted(v)]


def _in_a_row(maps: tf.Tensor) -> tf.Tensor:
    """`[B, h, w, D]` to `[B, h w, D]`."""
    return tf.reshape(maps, [tf.shape(maps)[0], maps.shape[1] * maps.shape[2], maps.shape[3]])


def _is_bias(variable: tf.Variable) -> bool:
    """Whether it is the bias of a convolution; those of batch normalisation are called beta."""
    return variable.name.split("/")[-1].startswith("bias")
