"""Batches of every augmentation for one seed and step, pinned: what a seed means may not change.

A value is a sum over a batch's array with fixed weights, so that neither an exchange of rows nor one of pixels
goes unseen. The table was made by `fingerprints` before samplers got one interface.
"""

import numpy as np
import pytest

from tf_landmarks.augment import frame_pairs, known_warp_pairs, padded_pairs, tps, warped_pairs
from tf_landmarks.data import samplers, sources
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.methods import colorization, generation
from tf_landmarks.training.input_pipeline import ImageSet

SEED, STEP, BATCH_SIZE = 11, 3, 4
GEOMETRY = Geometry(16, crop_fraction=0.8)
MILD = tps.WarpStrength(5.0, 0.05, 0.05, 0.01, 0.0)
STRONG = tps.WarpStrength(20.0, 0.1, 0.1, 0.01, 0.01)
PLACES = np.array([[-0.5, 0.25], [0.0, 0.0], [0.75, -0.5]], np.float32)
PADDED = (24, padded_pairs.PaddedWarpStrength(), 0.05, 5)


class SmoothVideos(sources.Source):
    """Two videos of 11 frames, whose frames alternate; each frame is a few waves that move."""

    def __init__(self):
        self.root = "smooth"
        numbers = np.arange(22)
        self.names = [f"{number:02d}" for number in numbers]
        self.sequences, self.frame_numbers = numbers % 2, numbers // 2

    def read(self, index):
        y, x = np.mgrid[:20, :24] / 24.0
        phase = index * 0.37
        waves = [np.sin(2 * np.pi * (f * y + (4 - f) * x) + f * phase) for f in (1, 2, 3)]
        return np.rint(127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


AUGMENTATIONS = {
    "warped": warped_pairs.WarpedPair(MILD, STRONG),
    "warped_frames": warped_pairs.WarpedPair(MILD, STRONG, False, "margin", samplers.FramePairs()),
    "frames": frame_pairs.FramePair(),
    "known_warp": known_warp_pairs.KnownWarpPair(MILD, STRONG, 5, PLACES),
    "known_warp_frames": known_warp_pairs.KnownWarpPair(
        MILD, STRONG, 5, PLACES, samplers.FramePairs()
    ),
    "padded": padded_pairs.PaddedPair(*PADDED),
    "padded_clips": padded_pairs.PaddedPair(*PADDED, True, 5, samplers.Clips(2, 3)),
    "crop_points": colorization.RandomCropPoints(6),
    "noise": generation.ImageWithNoise(8),
}


def batch_of(name: str, memory: bool = True) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the batch, and the names of the images in it."""
    source = SmoothVideos()
    images = ImageSet(
        source, np.arange(22), GEOMETRY, BadFiles(22, 0.0), 64.0 if memory else 0.0, (2, 4)
    )
    augmentation = AUGMENTATIONS[name]
    batch = next(iter(images.batches(augmentation, BATCH_SIZE, SEED, STEP)))
    names = images.names_of_batch(augmentation, BATCH_SIZE, SEED, STEP)
    return {key: value.numpy() for key, value in batch.items()}, names


def fingerprints(batch: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the weighted mean of each array."""
    return {
        key: float(np.mean(np.random.default_rng(0).normal(size=value.shape) * value))
        for key, value in batch.items()
    }


PINNED = {
    "warped": ("12 11 03 04", {"source": -0.0160127, "target": -0.0157862, "mask": -0.0231072}),
    "warped_frames": (
        "12 06 11 05 03 07 04 00",
        {"source": -0.018508, "target": -0.0196461, "mask": -0.0491902},
    ),
    "frames": (
        "12 06 11 05 03 07 04 00",
        {"source": -0.0104223, "target": -0.0177989, "mask": -0.0491902},
    ),
    "known_warp": (
        "12 11 03 04",
        {"target": -0.0131955, "source": -0.0249683, "correspondence": -0.0753403},
    ),
    "known_warp_frames": (
        "12 06 11 05 03 07 04 00",
        {"target": -0.0131955, "source": -0.00821356, "correspondence": -0.0753403},
    ),
    "padded": (
        "12 11 03 04",
        {
            "target": -0.0162063, "source": 0.00204424, "similarity": -0.115954,
            "shifts": -0.000143029, "landmark_shifts": -0.00478075, "chance": 0.0362974,
        },
    ),
    "padded_clips": (
        "12 16 20 11 15 19 03 07 11 04 08 12",
        {
            "target": -0.0162063, "source": 0.00204424, "similarity": -0.115954,
            "shifts": -0.000143029, "landmark_shifts": -0.00478075, "chance": 0.0362974,
            "later": 0.00193323, "flow": 0.0131331, "valid": 0.184737,
        },
    ),
    "crop_points": ("12 11 03 04", {"images": -0.0180488, "points": 1.30377}),
    "noise": ("12 11 03 04", {"images": -0.0136041, "latent": 0.00857416}),
}  # fmt: skip


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_batch_is_the_one_this_seed_and_step_have_always_meant(name):
    batch, names = batch_of(name)
    images, values = PINNED[name]
    assert " ".join(names) == images
    assert fingerprints(batch) == pytest.approx(values, rel=1e-3, abs=1e-5)
