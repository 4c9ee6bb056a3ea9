"""The smallest sensible model of each method, for tests that hold all of them to the same promises."""

import atexit
import dataclasses
import functools
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf

from tests.conformance import toys
from tests.evaluation import colour_blobs
from tf_landmarks import methods
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.options import RunOptions
from tf_landmarks.training import models

_IMM = {
    "width": 4,
    "renderer_width": 8,
    "renderer_min_width": 4,
    "softargmax": "joint",
    "output_affine": True,
    "learning_rate": 2e-3,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A method with options that make it small.

    Attributes:
        method: Its name.
        options: Those that make it small.
        image_size: Side of its input, pixels.
        stage: Whose losses fall when images are learned by heart.
        watched: The logged value that must then.
        scale: What that value is multiplied by to be a squared error of colours in 0-255; 0: it is none.
        num_landmarks: K.
    """

    method: str
    options: dict
    image_size: int = 32
    stage: int = 0
    watched: str = "loss"
    scale: float = 0.0
    num_landmarks: int = 4

    @property
    def of_stills(self) -> "Case":
        """The same on single images, where its pairs are frames of videos."""
        options = {key: value for key, value in self.options.items() if key != "pairing"}
        return dataclasses.replace(self, options=options)

    def __str__(self) -> str:
        named = [self.options.get(name, "") for name in ("loss", "pairing")]
        return "_".join(filter(None, [self.method, *named]))

    @functools.cached_property
    def flags(self) -> list[str]:
        """The same as command-line flags."""
        own = [f"--{self.method}_{key}={value}" for key, value in self.options.items()]
        return [
            f"--method={self.method}",
            f"--image_size={self.image_size}",
            f"--num_landmarks={self.num_landmarks}",
            *own,
        ]

    def model(self, sync_batch_norm: bool = False) -> methods.Model:
        """Makes and builds the model, with the frozen ones that it is handed."""
        run = RunOptions(
            method=self.method,
            image_size=self.image_size,
            num_landmarks=self.num_landmarks,
            sync_batch_norm=sync_batch_norm,
        )
        return models.make_model(run, methods.MODELS[self.method].options_class(**self.options))

    def batch(self, size: int, seed: int, stage: int = 0) -> dict[str, np.ndarray]:
        """A batch of a stage, from smooth random images."""
        coarse = np.random.default_rng(seed).random((size, 6, 6, 3), np.float32)
        images = tf.image.resize(coarse, [self.image_size] * 2)
        augmentation = self.model().stages[stage].augmentation
        images = tf.stack([images] * augmentation.sampler.length, axis=1)
        batch = augmentation(images, tf.constant([seed, 0]), Geometry(self.image_size))
        return {key: value.numpy() for key, value in batch.items()}


CASES = [
    Case("imm", _IMM, watched="m_input", scale=1.0),
    Case(
        "imm",
        # What is drawn is smaller than what a U-Net sees.
        {
            **_IMM,
            "loss": "balanced",
            "pairing": "frames",
            "detector": "unet",
            "drawn_size": 16,
            "grid": 8,
        },
        watched="m_input",
        scale=1.0,
    ),
    Case(
        "imm",
        {**_IMM, "loss": "l1", "bottleneck": "vector", "adversarial": 0.01},
        watched="m_input",
        scale=1.0,
    ),
    Case(
        "lmdis",
        # Warps around landmarks, which are tested by themselves, would take half of all these tests' time.
        {
            "architecture": "small",
            "width": 4,
            "norm_momentum": 0.9,
            "bn_reestimation_batches": 2,
            "landmark_warps": 0.0,
        },
        watched="mse",
        scale=255.0**2,
    ),
    Case("fse", {"schedule": "constant", "learning_rate": 3e-3, "pool": 3}),
    Case(
        "dve",
        # Of the root of the distance, its default, a hundred steps take off a third, and not on every machine.
        {
            "network": "unet",
            "descriptor_dim": 8,
            "query_stride": 2,
            "distance_power": 1.0,
            "learning_rate": 2e-3,
        },
    ),
    Case(
        "contrastlandmark",
        {
            "encoder": "small",
            "queue_size": 16,
            "bn_groups": 2,
            "projection_dim": 64,
            "projection_steps": 3,
        },
        stage=1,
        watched="distance",
    ),
    Case(
        "c3",
        # With the ways of all gradients on: through the flow too, and through both losses beside the cycle.
        {
            "backbone": "small",
            "width": 4,
            "statistics": "pairs",
            "grid": 8,
            "head_width": 8,
            "head_norm": True,
            "renderer_width": 8,
            "renderer_min_width": 4,
            "output_affine": True,
            "flow_width": 2,
            "flow_mode": "straight_through",
            "pair_steps": 2,
            "flow_steps": 1,
            "pair_weight": 0.5,
            "flow_weight": 0.5,
            "pretraining_learning_rate": 2e-3,
        },
        watched="m_input",
        scale=1.0,
    ),
]
"""Every method must have a case; `test_every_method_has_a_case` sees to it."""

QUICK = next(case for case in CASES if case.method == "fse")
"""The one whose training starts soonest, for tests that start many and ask nothing of the method."""

LMDIS_AROUND_LANDMARKS = Case(
    "lmdis",
    # From the first step on.
    {
        **next(case.options for case in CASES if case.method == "lmdis"),
        "landmark_warps": 0.3,
        "landmark_warps_from": -1,
        "landmark_warps_full": 0,
    },
)
"""LMDIS as it is by default; see `CASES`."""


@functools.cache
def labelled_folder() -> str:
    """A folder with four annotated pictures of coloured blobs, which lasts as long as the process."""
    folder = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, True)
    colour_blobs.write_part(folder, colour_blobs.random_points(4))
    return str(folder)


SEMISUPERVISED = Case(
    "semisupervised",
    {
        "labels": labelled_folder(),
        "names": ",".join(colour_blobs.NAMES),
        "ramp_start": 0.0,
        "ramp_end": 0.5,
    },
    num_landmarks=3,
)
"""What labels teach, and so no entry of METHODS."""

THREE_STAGES = Case("three_stages", {})
FEATURES = Case("toy_features", {}, watched="error")
TOYS = [THREE_STAGES, FEATURES]
assert {case.method for case in TOYS} == set(toys.TOYS)
