"""Drawn faces, which need no files."""

import numpy as np

from tf_landmarks.data import synthetic_faces
from tf_landmarks.data.sources import base

MADE_FACES = "made_faces"


class SyntheticFaces(base.Source):
    """Drawn faces, made as they are read: two poses of each face, neighbours in the sequence.

    Args:
        num_faces: How many faces; twice as many images.
        size: Side of the images, pixels.
        seed: Another one gives other faces.
    """

    is_stored = False

    @classmethod
    def matches(cls, request: base.Request) -> bool:
        """Takes `made_faces`."""
        return request.data == MADE_FACES

    @classmethod
    def open(cls, request: base.Request) -> "SyntheticFaces":
        """Refuses a pattern or a choice of frames."""
        request.refuse_frame_pattern()
        request.refuse_frames()
        return cls()

    def __init__(self, num_faces: int = 2000, size: int = 64, seed: int = 0):
        self.root = MADE_FACES
        self._size, self._seed = size, seed
        numbers = np.arange(2 * num_faces)
        self.sequences, self.frame_numbers = numbers // 2, numbers % 2
        self.names = [f"look{i // 2:05d}_pose{i % 2}" for i in numbers]

    def read(self, index: int) -> np.ndarray:
        image, _ = synthetic_faces.make_face(self._seed, index // 2, index % 2, self._size)
        return image
