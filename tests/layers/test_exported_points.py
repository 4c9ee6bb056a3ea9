"""What an export finds, as part of another network's loss."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.layers.exported_points import ExportedPoints

pytestmark = pytest.mark.core
FLAG = "--guide"


class Means(tf.Module):
    """Finds (mean of the image, number of the landmark) for three landmarks, in 16 x 16 pixels."""

    @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 3])])
    def predict_inputs(self, inputs):
        means = tf.reduce_mean(inputs, axis=(1, 2, 3))[:, tf.newaxis]
        numbers = tf.zeros_like(means) + tf.constant([[0.0, 1.0, 2.0]])
        return tf.stack([tf.tile(means, [1, 3]), numbers], axis=-1)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Writes an export of these landmarks, or one whose facts are others."""

    def write(name="good", **facts):
        path = tmp_path_factory.mktemp(name) / "7"
        tf.saved_model.save(Means(), str(path))
        (path / "assets.extra").mkdir()
        facts = {"names": ["a", "b", "c"], "geometry": {"size": 16, "crop_fraction": 0.8}, **facts}
        (path / "assets.extra" / "facts.json").write_text(json.dumps(facts))
        return str(path.parent)

    return write


def test_landmarks_come_in_the_order_asked_for_from_images_of_any_size(export):
    points = ExportedPoints(export(), FLAG, ["c", "a"], Geometry(32, 0.8))
    images = tf.random.stateless_uniform([2, 32, 32, 3], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(images)
        found = points(images)
    means = np.mean(images, axis=(1, 2, 3))
    np.testing.assert_allclose(found[..., 0], np.stack([means, means], 1), atol=0.01)
    np.testing.assert_array_equal(found[..., 1], [[2, 0]] * 2)
    assert tape.gradient(found, images) is None


def test_another_export_is_refused(export, tmp_path):
    with pytest.raises(UserError, match=r"--guide=.* finds a, b, c, and no d"):
        ExportedPoints(export(), FLAG, ["a", "d"], Geometry(16, 0.8))
    with pytest.raises(UserError, match="sees other parts of images"):
        ExportedPoints(export(), FLAG, ["a"], Geometry(16))
    with pytest.raises(UserError, match="has no names for what it finds"):
        ExportedPoints(export(names=[]), FLAG, ["a"], Geometry(16, 0.8))
    with pytest.raises(UserError, match=r"--guide=.*: .* holds no exported model"):
        ExportedPoints(str(tmp_path), FLAG, ["a"], Geometry(16, 0.8))
