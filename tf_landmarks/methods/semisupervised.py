"""Heat maps learned from a few labels and many unlabelled images.

Labels teach as they always do. Unlabelled images teach by equivariance, the idea that the methods without labels rest on
(Thewlis et al. 2017): on a warped image, the landmarks must be where the warp moves those of the image. What the
latter are is said by a teacher, whose weights are moving averages of the network's (Tarvainen and Valpola 2017), as far as
its heat maps are narrow and its landmarks together a shape that it finds elsewhere (`layers/shape_prior.py`); the term is
ramped in once labels have taught something. What the trained network finds is refined by the same shapes.

A guide may teach before that: landmarks that something else finds in the unlabelled images, of which descriptors learned
without labels are the case in mind (prototypes of one labelled image are right more often than what a network learns from it).
It is believed as far as it says the same of an image and of its warped copy, warped as the network's own images are: descriptors
that know nothing of how an object lies point elsewhere then. It falls silent while the network's own teacher is listened to more
and more, whose eyes are better.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tf_landmarks.augment import annotated, color, sides, tps, with_labels
from tf_landmarks.augment import mirror as mirrors
from tf_landmarks.data import labelled, labelled_inputs
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.layers import shape_prior, soft_argmax, unet
from tf_landmarks.layers.exported_points import ExportedPoints
from tf_landmarks.losses import annotated_points
from tf_landmarks.methods import base, optimizers, schedules
from tf_landmarks.methods.guest_features import GuestFeatures

#: Standard deviation of a heat map's target, where the image is 2 units wide: a cell.
BLOB_STD = 0.06
#: Steps by which `python -m tf_landmarks.fit` and its rivals train.
STEPS = 600
# How often the U-Net halves the image.
_HALVINGS = 3


@dataclasses.dataclass(frozen=True)
class SemisupervisedOptions(optimizers.OptimizerOptions):
    """Options of learning from a few labels."""

    labels: str = base.option("", "folder of annotated images, or one with train/, to learn from")
    names: str = base.option("", "of the landmarks, in the order of the annotations, with commas")
    num_labels: int = base.option(
        0, "of the labelled images, take so many, drawn by draw_seed; 0: all"
    )
    labels_digest: str = base.option(
        "", "of what the labels say, which fit sets: a run whose labels change is another one"
    )
    draw_seed: int = base.option(0, "of that draw, which is that of tools/few_labels.py")
    agreement: float = base.option(
        1.0, "weight of the agreement with the teacher on unlabelled images; 0: labels alone"
    )
    ramp_start: float = base.option(0.25, "share of the steps at which that weight begins to rise")
    ramp_end: float = base.option(0.75, "share of the steps from which on it is whole")
    teacher_momentum: float = base.option(0.98, "of the teacher's weights, at each step")
    shape_weight: float = base.option(
        0.5, "how much of a landmark's place is told by where the others are found; 0: nothing"
    )
    shape_tolerance: float = base.option(
        0.1, "standard deviation of what they do not tell; the image is 2 units wide"
    )
    shape_trust: float = base.option(
        0.15, "standard deviation of the distance to where they expect it, by which the teacher is believed less"
    )  # fmt: skip
    mirror: mirrors.Axis = base.option(
        "none", "shows half of all images in a mirror, that exchanges left and right of the image or top and bottom"
    )  # fmt: skip
    flip_pairs: str = base.option(
        "", "landmarks that change places in it, name:name with commas between them"
    )
    features: str = base.option(
        "", "run of a method that describes every place, whose features the network sees beside the image; they stay as they are"
    )  # fmt: skip
    guide: str = base.option(
        "", "export that finds the same landmarks, whose answers on unlabelled images teach the network at first"
    )  # fmt: skip
    guide_weight: float = base.option(1.0, "weight of the agreement with the guide")
    guide_tolerance: float = base.option(
        0.1, "how far apart what the guide says of an image and of its warped copy may be; the image is 2 units wide"
    )  # fmt: skip
    guide_start: float = base.option(0.4, "share of the steps at which that weight begins to fall")
    guide_end: float = base.option(0.8, "share of the steps from which on it is 0")
    entropy_weight: float = base.option(
        0.1, "weight of the cross-entropy of heat maps, beside the distance of their means"
    )
    warp: tps.WarpStrength = base.option(
        tps.WarpStrength(15.0, 0.1, 0.1, 5e-4, 5e-3), "warp of each image"
    )
    brightness: float = base.option(0.2, "factors of brightness reach so far from 1")
    contrast: float = base.option(
        0.3, "factors of the contrast of each channel of colour reach so far from 1"
    )
    light: float = base.option(
        0.15, "what is added to each channel reaches so far from 0; images are in [0, 1]"
    )
    color_share: float = base.option(
        0.5, "share of the images whose brightness, contrast and light change"
    )
    learning_rate: float = base.option(2e-3, "Adam's learning rate at the start")
    schedule: schedules.Schedule = base.option("cosine", "how the learning rate falls")

    @property
    def color_strength(self) -> color.Strength:
        """Of the changes of colour."""
        return color.Strength(self.brightness, self.contrast, self.light, self.color_share)

    def suited_to(
        self, points: np.ndarray, names: Sequence[str], rotation: float | None, flip_pairs: str
    ) -> tuple["SemisupervisedOptions", str]:
        """These options with warps and a mirror for labelled shapes, and what is to be said of the mirror; see `sides.choose`.

        Args:
            points: `[N, A, 2]` (x, y), NaN where missing.
            names: Of the landmarks.
            rotation: Standard deviation of the rotation of the warps, degrees; None leaves it.
            flip_pairs: See `sides.choose`.

        Raises:
            UserError: As there.
        """
        warp = self.warp
        if rotation is not None:
            warp = dataclasses.replace(warp, rotation=rotation)
        chosen = sides.choose(points, names, flip_pairs, warp.rotation)
        suited = dataclasses.replace(
            self, warp=warp, mirror=chosen.axis, flip_pairs=chosen.flip_pairs
        )
        return suited, chosen.why


class Semisupervised(base.LandmarkModel):
    """The model; see the module's head."""

    options_class = SemisupervisedOptions
    frozen_kinds: ClassVar = {
        "labels": base.Frozen(labelled_inputs.LabelledInputs, for_losses_only=True),
        "guide": base.Frozen(ExportedPoints, for_losses_only=True),
        "features": base.Frozen(base.FeatureModel),
    }
    learns_from_labels = True
    loss_layers = ("teacher",)
    added_layers = ("shapes",)
    can_grow = False
    terms: ClassVar = {
        "labelled": "distance between heat maps' means and labels, with a tenth of their cross-entropy; should fall",
        "agreement": "the same on warped unlabelled images, towards where the warp moves what the teacher says of them",
        "agreement_weight": "of the agreement, which rises with the steps, and the loss with it",
        "guided": "the same, towards where the warp moves what the guide finds, as far as it says the same of both; need not fall to 0, for it is often wrong",
        "confidence": "how narrow the teacher's heat maps are on unlabelled images, and how near their landmarks are to where the others expect them, in (0, 1]; should rise",
    }

    def __init__(self, spec: base.ModelSpec, options: SemisupervisedOptions, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        labels = (frozen or {}).get("labels")
        self._labels = _drawn(labels, options) if labels else None
        self._guide = (frozen or {}).get("guide")
        self._mirror = sides.mirror_of(options.mirror, options.flip_pairs, self.names)
        self.guests = None
        if features := (frozen or {}).get("features"):
            geometry = spec.geometry or Geometry(spec.image_size)
            flag = f"--semisupervised_features={options.features}"
            self.guests = GuestFeatures(features, geometry, _HALVINGS, flag)
        make = functools.partial(
            unet.HeatmapUNet,
            spec.num_landmarks,
            sync_batch_norm=spec.sync_batch_norm,
            guests=self.guests.pairs if self.guests else (),
        )
        self.network = make()
        if options.agreement:
            self.teacher = make()
        self.shapes = None
        if options.agreement and options.shape_weight:
            self.shapes = shape_prior.ShapePrior(
                spec.num_landmarks, options.shape_tolerance, options.shape_weight
            )
        self._steps = 1

    @classmethod
    def check(cls, spec: base.ModelSpec, options: SemisupervisedOptions) -> None:
        """Every landmark has a name, and the network halves the image three times."""
        if not options.labels:
            raise UserError(
                "--semisupervised_labels names no folder of annotated images; python -m tf_landmarks.fit sets what "
                "--method=semisupervised needs"
            )
        names = options.names.split(",") if options.names else []
        if len(names) != spec.num_landmarks:
            raise UserError(
                f"--semisupervised_names names {len(names)} landmarks and --num_landmarks={spec.num_landmarks}; give "
                "both as the annotations have them"
            )
        if options.flip_pairs and options.mirror == "none":
            raise UserError(
                f"--semisupervised_flip_pairs={options.flip_pairs} change places in a mirror, and --semisupervised_mirror=none: say "
                "horizontal or vertical, or name none"
            )
        try:
            sides.mirror_of(options.mirror, options.flip_pairs, names)
        except UserError as error:
            told = str(error).replace("--flip_pairs", "--semisupervised_flip_pairs")
            raise UserError(told) from error
        # A smaller tolerance leaves too few digits of float32.
        least = {"shape_weight": 0.0, "shape_tolerance": 0.02, "shape_trust": 1e-3}
        for name, bound in least.items():
            if not (given := getattr(options, name)) >= bound:
                raise UserError(
                    f"--semisupervised_{name}={given} must be {bound} or more; --semisupervised_shape_weight=0 leaves shapes out"
                )
        if options.guide and not options.agreement:
            raise UserError(
                "--semisupervised_guide teaches on unlabelled images, and --semisupervised_agreement=0 takes none: leave one out"
            )
        unet.check_size(spec.image_size, "--method=semisupervised")

    @property
    def names(self) -> tuple[str, ...]:
        """See the base class."""
        return tuple(self.options.names.split(",")) if self.options.names else ()

    @property
    def stages(self) -> list[base.Stage]:
        """A single stage."""
        options = self.options
        augmentation = with_labels.WithLabels(
            self._labels,
            options.warp,
            options.color_strength,
            self._mirror,
            alone=not options.agreement,
        )
        player = optimizers.player("model", options, lambda: self.network.trainable_variables)
        return [base.Stage("main", augmentation, self.compute_losses, (player,))]

    def start_stage(self, stage: base.Stage, steps: int, accumulation_steps: int = 1) -> None:
        """See the base class; the ramp needs to know how many steps there are."""
        self._steps = max(steps, 1)
        super().start_stage(stage, steps, accumulation_steps)

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Terms: see `terms`."""
        options, points = self.options, batch["points"]
        if not options.agreement:
            logits = self._logits(self.network, batch["labelled"], training)
            labelled = self._distance(logits, points)
            return base.Losses({"model": labelled}, {"labelled": labelled})
        # Of the batch, as the network's own: its moving averages lag behind weights that change fast.
        said = soft_argmax.joint_soft_argmax(self._logits(self.teacher, batch["images"], training))
        confidence = tf.stop_gradient(self._confidence(said, training))
        warped = self._mirror.images(batch["warped"], batch["mirrored"])
        both = tf.concat([batch["labelled"], warped], axis=0)  # normalised together
        of_labelled, of_warped = tf.split(self._logits(self.network, both, training), 2)
        labelled = self._distance(of_labelled, points)
        control = tps.control_grid(with_labels.CONTROL_SIDE)
        warp = tps.Warp(control, batch["warp"], "shifted")
        goals = self._mirror.points(_goals(warp, said.landmarks), batch["mirrored"])
        sure = self._mirror.values(confidence, batch["mirrored"])
        agreement = self._distance(of_warped, goals, sure)
        agreement_weight = options.agreement * self._ramp()
        total = labelled + agreement_weight * agreement
        terms = {
            "labelled": labelled,
            "agreement": agreement,
            "agreement_weight": agreement_weight,
            "confidence": tf.reduce_mean(confidence),
        }
        if self._guide is not None:
            weight = options.guide_weight * (
                1.0 - self._share(options.guide_start, options.guide_end)
            )
            terms["guided"] = tf.cond(  # who is silent need not look
                weight > 0.0,
                lambda: self._guided(of_warped, batch, warp),
                lambda: 0.0,
            )
            total += weight * terms["guided"]
        return base.Losses({"model": total}, terms)

    def after_step(self) -> None:
        """Moves the teacher towards the network; at first it follows at once."""
        if not self.options.agreement:
            return
        done = tf.cast(self.steps_done, tf.float32)
        momentum = tf.minimum(self.options.teacher_momentum, done / (done + 1.0))
        for ours, theirs in zip(
            self.teacher.trainable_variables, self.network.trainable_variables, strict=True
        ):
            ours.assign(momentum * ours + (1.0 - momentum) * theirs)

    def represent(self, images: tf.Tensor, training: bool = False) -> base.Landmarks:
        """See the base class."""
        logits = self._logits(self.network, images, training)
        found = soft_argmax.joint_soft_argmax(logits)
        confidence = soft_argmax.confidence(found)
        if self.shapes:
            found = self.shapes.refine(found)
            # Where no map is narrow there is nothing, however narrow the shapes are.
            surest = tf.reduce_max(confidence, axis=-1, keepdims=True)
            confidence = surest * soft_argmax.confidence(found)
        return base.Landmarks(found.landmarks, found.heatmaps, logits, confidence)

    def _logits(self, network: unet.HeatmapUNet, images: tf.Tensor, training: bool) -> tf.Tensor:
        guests = self.guests(images) if self.guests else None
        return network(images, training=training, guests=guests)

    def _distance(
        self, logits: tf.Tensor, points: tf.Tensor, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        return annotated_points.heatmap_loss(
            logits, points, BLOB_STD, self.options.entropy_weight, weights=weights
        )

    def _confidence(self, said: soft_argmax.Detection, training: bool) -> tf.Tensor:
        """How far to believe the teacher, `[B, A]`: as its maps are narrow and its landmarks where the others expect them."""
        confidence = soft_argmax.confidence(said)
        if not self.shapes:
            return confidence
        if training:
            self.shapes.observe(said.landmarks, confidence)
        apart = self.shapes.refine(said).landmarks - said.landmarks
        squared = tf.reduce_sum(tf.square(apart), axis=-1)
        return confidence * tf.exp(-squared / (2.0 * self.options.shape_trust**2))

    def _guided(
        self, of_warped: tf.Tensor, batch: dict[str, tf.Tensor], warp: tps.Warp
    ) -> tf.Tensor:
        """The distance to what the guide says of images, as far as it says the same of them warped."""
        goals = _goals(warp, self._guide(batch["images"]))
        apart = tf.reduce_sum(tf.square(goals - self._guide(batch["warped"])), axis=-1)
        trust = tf.exp(-apart / self.options.guide_tolerance**2)
        # 0 where a point is missing, whose NaN the gradient would be multiplied by.
        trust = tf.stop_gradient(tf.where(tf.math.is_finite(trust), trust, 0.0))
        goals = self._mirror.points(goals, batch["mirrored"])
        return self._distance(of_warped, goals, self._mirror.values(trust, batch["mirrored"]))

    def _ramp(self) -> tf.Tensor:
        return self._share(self.options.ramp_start, self.options.ramp_end)

    def _share(self, start: float, end: float) -> tf.Tensor:
        """How far training is on the way from one share of its steps to another, in [0, 1]."""
        done = tf.cast(self.steps_done, tf.float32) / self._steps
        return tf.clip_by_value((done - start) / (end - start), 0.0, 1.0)


def usual_steps(alone: bool) -> int:
    """Steps of a network; more where labels teach alone, each of which takes half as long."""
    return 1500 if alone else STEPS


def _goals(warp: tps.Warp, points: tf.Tensor) -> tf.Tensor:
    """Where a warp moves points `[B, A, 2]`, without gradient; NaN beyond the image."""
    goals = annotated.moved_points(warp, points)
    inside = tf.reduce_all(tf.abs(goals) <= 1.0, axis=-1, keepdims=True)
    return tf.stop_gradient(tf.where(inside, goals, float("nan")))


def _drawn(
    labels: labelled_inputs.LabelledInputs, options: SemisupervisedOptions
) -> labelled_inputs.LabelledInputs:
    """The labelled images to learn from.

    Raises:
        UserError: If the names of the options are not theirs, or there are fewer than asked for.
    """
    if ",".join(labels.names) != options.names:
        raise UserError(
            f"--semisupervised_names={options.names}: the landmarks of {options.labels} are {','.join(labels.names)}"
        )
    if options.num_labels > len(labels):
        raise UserError(
            f"--semisupervised_num_labels={options.num_labels}: {options.labels} has {len(labels)} labelled images"
        )
    if not options.num_labels:
        return labels
    rows = labelled.draw_rows(len(labels), options.num_labels, 0, options.draw_seed)
    return labels.select(np.sort(rows))
