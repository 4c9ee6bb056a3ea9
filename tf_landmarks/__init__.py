"""tf_landmarks: learn an object's landmarks from images and videos, without labels.

    import tf_landmarks
    model = tf_landmarks.load("runs/quickstart/export")
    prediction = model.predict(images)          # uint8 RGB, any sizes

The code is written against the Keras 2 API. TensorFlow 2.16 and later bring Keras 3 as
`tf.keras` unless the switch below is set before TensorFlow is imported; TensorFlow 2.15
still is Keras 2, and there the switch would demand a package that nothing else needs.
"""

import importlib.metadata
import os


def _tensorflow_version() -> tuple[int, int]:
    major, minor = importlib.metadata.version("tensorflow").split(".")[:2]
    return int(major), int(minor)


if _tensorflow_version() >= (2, 16):
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# oneDNN's kernels, up to 2.7 times as fast; by itself TensorFlow turns them on with AVX-512 alone.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# TensorFlow's start-up chatter would bury the few lines that matter; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"


def load(path: str):
    """Loads an exported model for prediction in Python.

    Args:
        path: The export folder (its newest version is taken) or one of its version folders.

    Returns:
        A `tf_landmarks.inference.exported.ExportedModel`.
    """
    from tf_landmarks.inference.exported import ExportedModel

    return ExportedModel(path)
