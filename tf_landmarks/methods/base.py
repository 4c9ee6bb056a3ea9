"""What a method states about itself.

A method is a frozen dataclass of options and a subclass of `LandmarkModel` (it yields points), of
`FeatureModel` (it yields something at every pixel) or of `Model` alone (it yields neither: networks,
generators). It states its `stages`, each with the losses it is trained by, `represent` and, where it can
redraw, `render`. Shared code asks which of the three it is, by type, and never for its name.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tf_landmarks.augment.augmentation import Batch
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.methods.answers import Correspondence, Features, Landmarks, Parts
from tf_landmarks.methods.remedies import FeatureRemedies, OwnHealth, Remedies
from tf_landmarks.methods.training_step import (
    NOT_FINITE,
    Losses,
    Player,
    Stage,
    StagedModel,
    mean_over_replicas,
)
from tf_landmarks.options import option

__all__ = [
    "NOT_FINITE",
    "Correspondence",
    "FeatureModel",
    "FeatureRemedies",
    "Features",
    "Frozen",
    "HasTrunk",
    "LandmarkModel",
    "Landmarks",
    "Losses",
    "Model",
    "ModelSpec",
    "OwnHealth",
    "Parts",
    "Player",
    "Remedies",
    "RunImages",
    "Stage",
    "mean_over_replicas",
    "option",
    "variables_by_path",
]


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """What every method needs to know before it can be built.

    Attributes:
        image_size: Side of the square network input, pixels.
        num_landmarks: K.
        sync_batch_norm: Whether replicas share the statistics of batch normalisation.
        geometry: How images become the input, where that is known.
    """

    image_size: int
    num_landmarks: int
    sync_batch_norm: bool = False
    geometry: Geometry | None = None


class Frozen(NamedTuple):
    """Something that a method is handed ready-made; the option of the same name says where it is.

    Attributes:
        kind: Its class: a `Model`, of which the option names a run directory, a class of layers/pretrained.py,
            of which it names a file of weights, `LabelledInputs`, of which it names a folder, or `ExportedPoints`, of
            which it names an export.
        for_losses_only: Whether an export does without it.
    """

    kind: type
    for_losses_only: bool = False


class RunImages(Protocol):
    """What a model may ask of the images of its run; training/run_data.py answers.

    Attributes:
        num_training: How many images are trained on.
        num_judged: How many a finished network is judged on.
        is_held_out: Whether these were held out, or are those of training.
        seed: The run's.
    """

    num_training: int
    num_judged: int
    is_held_out: bool
    seed: int

    def judged_batches(self, stage: Stage, passes: int, max_batches: int) -> Iterable[Batch]:
        """Batches of the judged images, `passes` times each on average, `max_batches` at most."""

    def judged_images(self, count: int) -> np.ndarray:
        """Up to `count` of them as the network sees them, `[n, S, S, 3]` float32 in [0, 1]."""


class Model(StagedModel):
    """Anything that `python -m tf_landmarks.train` can train.

    Args:
        spec: Input size and number of landmarks.
        options: The model's own options.
        frozen: The models that it is handed, by the names of `frozen_kinds`; one whose option is empty is
            missing, and so may be those that losses alone need.
    """

    #: The dataclass of the options; its fields become flags.
    options_class: type
    #: Whether labelled images teach it, which a run then must name; without, it learns from images alone.
    learns_from_labels = False
    #: The models that it is handed, by the option that names them.
    frozen_kinds: ClassVar[Mapping[str, Frozen]] = {}
    #: The layers, by attribute (`keys.encoder`), that a new run's model begins with weights of a file in, by the option
    #: that names the file; see training/initial_weights.py.
    initial_weights: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: The layers, by attribute, that losses alone need: running means of errors, an opponent. No export has them.
    loss_layers: ClassVar[tuple[str, ...]] = ()
    #: The layers, by attribute, that another run of the method may lack: with `--init_from` they then begin anew.
    added_layers: ClassVar[tuple[str, ...]] = ()
    #: What the terms of its losses are, by name or by pattern (`m_*`), for whoever reads the log.
    terms: ClassVar[Mapping[str, str]] = {}
    #: On how many training batches the statistics of batch normalisation are estimated again before each
    #: evaluation and at the end, see training/batch_norm.py; 0: moving averages are good enough.
    bn_reestimation_batches = 0

    def __init__(
        self, spec: ModelSpec, options, frozen: Mapping[str, object] | None = None, **kwargs
    ):
        super().__init__(**kwargs)
        self.check(spec, options)
        self.spec, self.options = spec, options

    @classmethod
    def check(cls, spec: ModelSpec, options) -> None:
        """Checks what can be checked before anything is made; warns of what is hardly meant.

        Raises:
            UserError: Naming the flag, if the networks cannot be built like this.
        """

    @classmethod
    def check_images(cls, images: Iterable[np.ndarray], data: str) -> None:
        """Looks at some images, `[H, W, 3]` uint8 each, before training begins.

        Args:
            images: Read as they are asked for.
            data: What they are called in messages.

        Raises:
            UserError: If nothing can be learned from them.
        """

    def score(self, terms: Mapping[str, float]) -> float | None:
        """One number that `--keep_best` goes by, from the terms on held-out images; lower is better."""
        return None

    def write_results(self, folder: str, data: RunImages) -> list[str]:
        """Writes what a finished training is for, where that is no export.

        Args:
            folder: The run directory.
            data: The run's images.

        Returns:
            Lines that say what was written and what it is worth.
        """
        return []

    def begin_layer(self, layer: str) -> None:
        """Runs where a run of `--init_from` lacks a layer of `loss_layers` or `added_layers`, which begins anew."""

    def build_variables(self, for_training: bool = True) -> None:
        """Creates every variable, by one pass over an empty batch of each stage.

        Must run before checkpoints are restored and, under a strategy, in its scope.

        Args:
            for_training: Whether losses will be computed; an export needs none, and so none of the
                files that a loss may read.
        """
        size = self.spec.image_size
        for stage in self.stages if for_training else []:
            count = stage.augmentation.sampler.length
            images = tf.zeros([stage.min_batch, count, size, size, 3])
            batch = stage.augmentation(images, tf.constant([0, 0]), Geometry(size))
            self._note_terms(stage, stage.losses(batch, training=False))
        self.built = True

    @property
    def network_variables(self) -> dict[str, tf.Variable]:
        """What its layers learn or measure, by path; no state of training, and nothing of `loss_layers`."""
        measured = [v for layer in self.layers for v in layer.non_trainable_variables]
        own = {id(v) for v in [*self.trainable_variables, *measured]}
        own -= {id(v) for v in self.loss_variables.values()}
        return {path: v for path, v in variables_by_path(self).items() if id(v) in own}

    @property
    def loss_variables(self) -> dict[str, tf.Variable]:
        """What its `loss_layers` learn or measure, as far as they were made, by path."""
        layers = [getattr(self, name) for name in self.loss_layers if hasattr(self, name)]
        own = {id(v) for layer in layers for v in layer.variables}
        return {path: v for path, v in variables_by_path(self).items() if id(v) in own}

    @property
    def num_parameters(self) -> int:
        """How many numbers its layers learn or measure, those of `loss_layers` too."""
        values = [*self.network_variables.values(), *self.loss_variables.values()]
        return sum(value.shape.num_elements() for value in values)


class LandmarkModel(Model):
    """Base of the methods that find points."""

    #: Whether weights for some landmarks serve as the first ones of more, see `--init_from`.
    can_grow = True
    #: What warnings about unhealthy landmarks recommend.
    remedies = Remedies()

    @property
    def names(self) -> tuple[str, ...]:
        """What people call the landmarks, where they taught them; () of landmarks that were discovered."""
        return ()

    def represent(self, images: tf.Tensor, training: bool = False) -> Landmarks:
        """Finds landmarks in `images [B, S, S, 3]`, float32 RGB in [0, 1]."""
        raise NotImplementedError

    @property
    def has_generator(self) -> bool:
        """Whether it renders."""
        return type(self).render is not LandmarkModel.render

    def render(self, images: tf.Tensor, landmarks: tf.Tensor) -> tf.Tensor:
        """Draws the objects of `images` with their landmarks elsewhere.

        Args:
            images: `[B, S, S, 3]` float32 in [0, 1], which give the appearance.
            landmarks: `[B, K, 2]` (y, x) in the corner convention, which give the geometry.

        Returns:
            `[B, S, S, 3]` float32 in [0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} has no generator")

    @property
    def renders_parts(self) -> bool:
        """Whether its generator can draw appearance alone, and landmarks alone."""
        return type(self).render_parts is not LandmarkModel.render_parts

    def render_parts(self, images: tf.Tensor) -> Parts:
        """Draws what `images [B, S, S, 3]`, float32 in [0, 1], look like, and where their landmarks are, each alone."""
        raise NotImplementedError(f"{type(self).__name__} draws no parts")

    @property
    def has_correspondence(self) -> bool:
        """Whether it matches places of two images."""
        return type(self).correspond is not LandmarkModel.correspond

    def correspond(self, images_a: tf.Tensor, images_b: tf.Tensor) -> Correspondence:
        """Matches all places of `images_a`, the first, with those of `images_b`, `[B, S, S, 3]` float32 in [0, 1] each."""
        raise NotImplementedError(f"{type(self).__name__} matches no places")

    @classmethod
    def own_health(
        cls,
        images: tf.Tensor,
        find: Callable,
        render: Callable | None = None,
        correspond: Callable | None = None,
    ) -> OwnHealth:
        """What only this method can have wrong, told from the answers of a model or of its export.

        Args:
            images: `[B, S, S, 3]` float32 in [0, 1].
            find: Images to landmarks `[B, K, 2]`.
            render: See `render`; None of what draws nothing, as an export with a head.
            correspond: See `correspond`, likewise.
        """
        return OwnHealth({}, [])

    def call(self, images: tf.Tensor, training: bool = False) -> Landmarks:
        """Keras' entry point, the same as `represent`."""
        return self.represent(images, training=training)

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class."""
        super().build_variables(for_training)
        images = tf.zeros([1, self.spec.image_size, self.spec.image_size, 3])
        landmarks = self.represent(images)
        if self.has_generator:
            self.render(images, landmarks.points)


class FeatureModel(Model):
    """Base of the methods that describe every place of an image."""

    #: What warnings about unhealthy features recommend.
    remedies = FeatureRemedies()

    @property
    def descriptor_levels(self) -> tuple[str, ...]:
        """The levels by which places are told apart and matched; all of them, if it names none."""
        return ()

    def describe(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Those levels of `images [B, S, S, 3]` in [0, 1], `[B, h, w, D]` each."""
        levels = self.represent(images).levels
        return {name: levels[name] for name in self.descriptor_levels or levels}

    def represent(self, images: tf.Tensor, training: bool = False) -> Features:
        """Describes `images [B, S, S, 3]`, float32 RGB in [0, 1]."""
        raise NotImplementedError

    def call(self, images: tf.Tensor, training: bool = False) -> Features:
        """Keras' entry point, the same as `represent`."""
        return self.represent(images, training=training)

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class."""
        super().build_variables(for_training)
        self.represent(tf.zeros([1, self.spec.image_size, self.spec.image_size, 3]))


class HasTrunk:
    """What a model has, beside what it yields, whose convolutions can be put to another use.

    Attributes:
        spec: See `Model`.
        trunk: Its convolutions, from the image on; each may be frozen by itself.
    """

    spec: ModelSpec
    trunk: list[tf.keras.layers.Layer]

    def features(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """What the last convolution gives, `[B, h, w, D]`, of `images [B, S, S, 3]` in [0, 1]."""
        raise NotImplementedError


def variables_by_path(root: tf.Module) -> dict[str, tf.Variable]:
    """Finds every variable below an object, under the path by which a checkpoint would know it.

    Two models of the same class have the same paths, in whatever order their variables were made.
    """
    view = tf.train.TrackableView(root)
    variables: dict[str, tf.Variable] = {}
    seen = {id(root)}
    queue = collections.deque([((), root)])
    while queue:  # breadth first: the shortest path names a variable
        path, node = queue.popleft()
        if isinstance(node, tf.Variable):
            variables["/".join(path)] = node
            continue
        for name, child in view.children(node).items():
            if id(child) not in seen:
                seen.add(id(child))
                queue.append(((*path, name), child))
    return variables
