"""The smallest sensible model of each method, for tests that hold all of them to the same promises."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from tf_landmarks import methods
from tf_landmarks.data.geometry import Geometry

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
    """A method with options that make it small."""

    method: str
    options: dict
    image_size: int = 32
    #: The logged value that must fall when images are learned by heart.
    watched: str = "loss"

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
            "--num_landmarks=4",
            *own,
        ]

    def model(self, num_landmarks: int = 4) -> methods.LandmarkModel:
        """Makes and builds the model."""
        options = methods.METHODS[self.method].options_class(**self.options)
        model = methods.create(
            self.method, methods.ModelSpec(self.image_size, num_landmarks), options
        )
        model.build_variables()
        return model

    def batch(self, size: int, seed: int) -> dict[str, np.ndarray]:
        """A batch of the first stage, from smooth random images."""
        coarse = np.random.default_rng(seed).random((size, 6, 6, 3), np.float32)
        images = tf.image.resize(coarse, [self.image_size] * 2)
        pairing = self.model().stages[0].augmentation
        frames = tf.stack([images] * pairing.frames_per_sample, axis=1)
        batch = pairing(frames, tf.constant([seed, 0]), Geometry(self.image_size))
        return {key: value.numpy() for key, value in batch.items()}


CASES = [
    Case("imm", _IMM, watched="m_input"),
    Case("imm", {**_IMM, "loss": "balanced", "pairing": "frames"}, watched="m_input"),
    Case(
        "imm",
        {**_IMM, "loss": "l1", "bottleneck": "vector", "adversarial": 0.01},
        watched="m_input",
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
    ),
    Case("fse", {"schedule": "constant", "learning_rate": 3e-3, "pool": 3}),
]
"""Every method must have a case; `test_every_method_has_a_case` sees to it."""
