"""What tests share: the real photographs, where they are at hand."""

import os
import pathlib
import sys
from collections.abc import Iterator

import pytest

import tf_landmarks  # noqa: F401  (sets the Keras switch before TensorFlow is imported)

# isort: split
import tensorflow as tf
from PIL import Image

from tf_landmarks.data.sources import SyntheticFaces


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the long tests first; on the second stack, leaves out those that are not `core`."""
    if sys.version_info >= (3, 12):
        left_out = [item for item in items if item.get_closest_marker("core") is None]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.get_closest_marker("core") is not None]
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="module", autouse=True)
def _eager_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs `tf.function`s eagerly in modules that say `EAGER = True`, fixtures included.

    Most tests make a step or two: eager ones compute the same, and cost less than to build their graph.
    """
    tf.config.run_functions_eagerly(getattr(request.module, "EAGER", False))
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(autouse=True)
def _graph_of_one_test(request: pytest.FixtureRequest, _eager_module) -> Iterator[None]:
    """Builds graphs after all where a test of such a module is marked `graph`: it makes many steps, or is about them."""
    eager = tf.config.functions_run_eagerly()
    if request.node.get_closest_marker("graph"):
        tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(eager)


@pytest.fixture(scope="session")
def few_faces(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of twelve small drawn faces: a run that begins on them reads no hundreds to calibrate itself."""
    folder = tmp_path_factory.mktemp("few_faces")
    faces = SyntheticFaces(6, size=32)
    for index in range(12):
        Image.fromarray(faces.read(index)).save(folder / f"face{index:02d}.png")
    return str(folder)


@pytest.fixture(scope="session")
def photographs() -> pathlib.Path:
    """The folder of real data sets; skips the test where TF_LANDMARKS_DATA is not set."""
    folder = os.environ.get("TF_LANDMARKS_DATA", "")
    if os.path.isdir(folder):
        return pathlib.Path(folder)
    reason = f"TF_LANDMARKS_DATA={folder!r} is not a folder of real data sets"
    if os.environ.get("TF_LANDMARKS_REQUIRE_DATA"):
        pytest.fail(reason)
    pytest.skip(reason)
