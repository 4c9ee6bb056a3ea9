"""The numbers of an evaluation by regression, and metrics.json of them."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tf_landmarks.evaluation.few_labels import FewLabelScore
from tf_landmarks.evaluation.pck_scores import Pck
from tf_landmarks.evaluation.protocol_kinds import Protocol
from tf_landmarks.evaluation.rivals import RivalScore
from tf_landmarks.metrics import calibration, landmark_errors

#: Errors in percent, within which the share of points is told.
WITHIN = (5, 10)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What was fitted and measured, and how.

    Attributes:
        ridge_chosen: The ridges that points were fitted with, ascending.
        normalizer: What errors are divided by.
        flip_pairs: Left and right that cannot be told apart, in words; empty if they can.
        train: Title of the images fitted on.
        test: Title of the images measured on.
        image_size: Side of the network's input.
        num_train: Images fitted on.
        num_test: Images measured on.
        num_trained_on: Of these, images that the network was trained on, without labels.
        num_skipped: Of these, labelled images without a length to divide by.
        num_unreadable: Annotated images that could not be read.
        seed: Of all that is drawn.
    """

    ridge_chosen: list[float]
    normalizer: str
    flip_pairs: str
    train: str
    test: str
    image_size: int
    num_train: int
    num_test: int
    num_trained_on: int
    num_skipped: int
    num_unreadable: int
    seed: int


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """The numbers of an evaluation, of N test images with A annotated points.

    Attributes:
        names: Of the A points.
        errors: `[N, A]` shares of each image's length, NaN where nothing could be measured.
        mean_shape: `[N, A]` the same of the mean shape.
        untrained: `[N, A]` the same of the network before training.
        few_labels: By the number of labels.
        rivals: What learns from the same labels without the model.
        groups: `[N]` int: which images belong together, and are drawn anew together for the interval.
        reversed: `[N]` bool: images in which the object looks reversed, see
            `landmark_errors.reversed_images`.
        health: Of the landmarks, see `advice.to_json`.
        protocol: The form of the map and of the errors.
        setting: What was fitted and measured.
        model: The facts of the export.
        confidence: `[N, A]` how sure the model is of each point; None where a map mixes its landmarks.
        pck: What turns errors into shares of points within a length; None where these are not asked for.
    """

    names: Sequence[str]
    errors: np.ndarray
    mean_shape: np.ndarray
    untrained: np.ndarray
    few_labels: Sequence[FewLabelScore]
    rivals: Sequence[RivalScore]
    groups: np.ndarray
    reversed: np.ndarray
    health: dict
    protocol: Protocol
    setting: Setting
    model: dict
    confidence: np.ndarray | None = None
    pck: Pck | None = None

    def to_json(self) -> dict:
        """Returns what metrics.json holds, None in the place of NaN."""
        columns = {
            "nme_percent": self.errors,
            "mean_shape_nme_percent": self.mean_shape,
            "untrained_nme_percent": self.untrained,
        }
        whole = {key: landmark_errors.nme_percent(errors) for key, errors in columns.items()}
        each = [landmark_errors.nme_percent(errors, axis=0).tolist() for errors in columns.values()]
        interval = list(
            landmark_errors.bootstrap_interval(
                self.errors, seed=self.setting.seed, groups=self.groups
            )
        )
        return _without_nan(
            {
                "nme_percent": whole.pop("nme_percent"),
                "nme_interval_percent": interval,
                "num_groups": len(np.unique(self.groups)),
                **whole,
                **self._typical(),
                **self._pck(),
                **self._confidence(),
                "per_landmark": {
                    name: dict(zip(columns, row, strict=True))
                    for name, *row in zip(self.names, *each, strict=True)
                },
                "few_labels": [dataclasses.asdict(score) for score in self.few_labels],
                "rivals": {score.rival.name: self._rival(score) for score in self.rivals},
                "health": self.health,
                "protocol": {**self.protocol.facts(), **dataclasses.asdict(self.setting)},
                "model": self.model,
            }
        )

    def _typical(self) -> dict:
        """What a mean hides: the middle, how many are near, how many are the wrong way round."""
        known = self.errors[np.isfinite(self.errors)]
        return {
            "median_percent": 100 * float(np.median(known)) if known.size else math.nan,
            "within_percent": {
                f"{limit:g}": landmark_errors.accuracy_at(self.errors, limit / 100)
                for limit in WITHIN
            },
            "num_reversed": int(self.reversed.sum()),
        }

    def _pck(self) -> dict:
        if self.pck is None:
            return {}
        errors = {
            "percent": self.errors,
            "mean_shape_percent": self.mean_shape,
            "untrained_percent": self.untrained,
            **{f"{score.rival.name}_percent": score.errors for score in self.rivals},
        }
        return {"pck": self.pck.to_json(self.names, errors)}

    def _confidence(self) -> dict:
        if self.confidence is None:
            return {}
        found = calibration.error_by_confidence(self.confidence, self.errors)
        meant, known = self.model.get("calibration"), np.isfinite(self.errors)
        if meant and meant["normalizer"] == self.setting.normalizer and known.any():
            right = self.errors[known] <= meant["tolerance"]
            sure = self.confidence[known].astype(float)
            found["tolerance_percent"] = 100 * meant["tolerance"]
            found["calibration_error_percent"] = 100 * calibration.expected_calibration_error(
                sure, right
            )
        return {"confidence": found}

    def _rival(self, score: RivalScore) -> dict:
        each = landmark_errors.nme_percent(score.errors, axis=0).tolist()
        return {
            "title": score.rival.title,
            "nme_percent": landmark_errors.nme_percent(score.errors),
            "per_landmark": dict(zip(self.names, each, strict=True)),
            "few_labels": [dataclasses.asdict(few) for few in score.few_labels],
        }


def _without_nan(value):
    """None in the place of NaN, which JSON does not know, at any depth."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
