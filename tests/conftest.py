"""What tests share: the real photographs, where they are at hand."""

import os
import pathlib
import sys

import pytest

import tf_landmarks  # noqa: F401  (sets the Keras switch before any test imports TensorFlow)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the long tests first; on the second stack, leaves out those that are not `core`."""
    if sys.version_info >= (3, 12):
        left_out = [item for item in items if item.get_closest_marker("core") is None]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.get_closest_marker("core") is not None]
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


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
