"""Drawn faces with exact landmarks: the data set that needs no download.

Every picture is a pure function of (seed, index, pose).
"""

from tf_landmarks.data.synthetic_faces.appearance import LANDMARKS, NORMALIZER
from tf_landmarks.data.synthetic_faces.dataset import write_dataset
from tf_landmarks.data.synthetic_faces.drawing import make_exchanged_face, make_face, make_mask

__all__ = [
    "LANDMARKS",
    "NORMALIZER",
    "make_exchanged_face",
    "make_face",
    "make_mask",
    "write_dataset",
]
