"""What `python -m tf_landmarks.fit` learns from some labels and all unlabelled images, beside the rivals."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.data import labelled_inputs
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.evaluation import head_fitting, protocol_kinds, rivals
from tf_landmarks.evaluation.supervised_networks import UNet
from tf_landmarks.methods import ModelSpec, semisupervised
from tf_landmarks.training import models


@dataclasses.dataclass(frozen=True)
class Taught(rivals.Rival):
    """The U-Net of the supervised rival, taught by the labelled images and, without their labels, by all of them.

    Attributes:
        steps: Of its training; if 0 as many as `python -m tf_landmarks.fit` takes.
        rotation: Standard deviation of the rotation of its warps, degrees; the method's if None.
        guide: A model with a head, fitted to the same labels, that teaches at first; none if None.
        features: A run of such a model, whose features the network sees besides; none if None.
        features_name: What they are called in tables; the run's method if "".
        agreement: Weight of what unlabelled images teach; 0: labels alone.
    """

    steps: int = 0
    rotation: float | None = None
    guide: head_fitting.HeadLearner | None = None
    features: models.LoadedRun | None = None
    features_name: str = ""
    agreement: float = 1.0

    name = "semisupervised"
    few_label_repeats = 3  # each is a training
    counts = ("all",)

    @property
    def title(self) -> str:
        """What it is, for tables."""
        seen = ""
        if self.features is not None:
            seen = f" on features of {self.features_name or self.features.run.method}"
        taught = "labels and unlabelled images" if self.agreement else "labels alone"
        by = "" if self.guide is None else f", guided by {self.guide.model_title}"
        return f"U-Net{seen}, {taught}{by}"

    def learner(
        self,
        train: LabelledImages,
        test: LabelledImages,
        protocol: protocol_kinds.Protocol,
        seed: int,
    ) -> rivals.Learner:
        geometry = Geometry(UNet.size)
        known, measured = (labelled_inputs.of(images, geometry) for images in (train, test))
        if self.guide is not None:
            self.guide.model.geometry.check_sees_as(geometry, self.guide.model.path)
        guide_by = self.guide and self.guide.guide(train, seed)

        def learn(rows: np.ndarray, repeat: int) -> np.ndarray:
            model = self._train(known, rows, seed + repeat, guide_by and guide_by(rows, repeat))
            find = tf.function(lambda x: model.represent(x).points, autograph=False)
            return rivals.network_points(find, measured, known.points[rows], test, geometry)

        return learn

    def _train(
        self,
        known: labelled_inputs.LabelledInputs,
        rows: np.ndarray,
        seed: int,
        guide: Callable[[tf.Tensor], tf.Tensor] | None,
    ) -> semisupervised.Semisupervised:
        """Trains on all images, of which `rows` have labels, as a run does but for what it writes."""
        geometry, recipe = Geometry(UNet.size), UNet.recipe
        alone = len(rows) == len(known)  # as `naming.run_of_labels` has it
        steps = self.steps or semisupervised.usual_steps(alone)
        options = semisupervised.SemisupervisedOptions(
            names=",".join(known.names), labels="rows", agreement=0.0 if alone else self.agreement
        )
        shapes = coordinates.swap_xy(known.points[rows])
        options, _ = options.suited_to(shapes, known.names, self.rotation, "auto")
        tf.keras.utils.set_random_seed(seed)
        spec = ModelSpec(UNet.size, len(known.names))
        frozen = {"labels": known.select(rows), "guide": guide}
        frozen["features"] = self.features and self.features.model
        model = semisupervised.Semisupervised(spec, options, frozen)
        model.build_variables()
        (stage,) = model.stages
        model.start_stage(stage, steps)
        memory = tf.constant(known.images)

        def batch(number: tf.Tensor):
            draw = tf.stack([tf.constant(seed, tf.int64), number])
            # Another stream than the augmentation's.
            chosen = tf.random.stateless_uniform(
                [recipe.batch_size],
                draw + tf.constant([0, 1 << 40], tf.int64),
                0,
                len(known),
                tf.int32,
            )
            images = tf.image.convert_image_dtype(tf.gather(memory, chosen), tf.float32)
            return stage.augmentation(images[:, tf.newaxis], draw, geometry)

        step = tf.function(model.train_step, autograph=False)
        for made in tf.data.Dataset.range(steps).map(batch).prefetch(2):
            step(made)
        return model
