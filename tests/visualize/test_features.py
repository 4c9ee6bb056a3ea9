"""Principal components of features, and their pictures."""

import numpy as np
import pytest

from tf_landmarks.visualize import features

pytestmark = pytest.mark.core


def samples(count: int, channels: int, seed: int = 0) -> np.ndarray:
    """Of falling variance, around a mean that is not 0."""
    random = np.random.default_rng(seed)
    scale = 1 / np.arange(1, channels + 1)
    mixed = np.linalg.qr(random.normal(size=(channels, channels)))[0]
    return ((random.normal(size=(count, channels)) * scale + 0.3) @ mixed).astype(np.float32)


@pytest.mark.parametrize("channels", [5, 300])  # all vectors, or those wanted alone
def test_constant_features_have_one_component_uncentred_and_none_centred(channels):
    row = samples(1, channels)
    given = [np.repeat(row, 50, axis=0).reshape(1, 5, 10, -1)] * 2
    found = features.principal(given)
    assert found.variances[0] == pytest.approx((row**2).sum(), rel=1e-5)
    assert (found.variances[1:] == 0).all()
    alignment = np.abs(found.axes[:, 0] @ row[0]) / np.linalg.norm(row)
    assert alignment == pytest.approx(1, abs=1e-5)
    centred = features.principal(given, centred=True)
    assert (centred.variances == 0).all()
    np.testing.assert_allclose(centred.project(given[0]), 0, atol=1e-5)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("channels", [6, 300])
def test_components_are_those_of_a_singular_value_decomposition(channels, centred):
    given = samples(900, channels)
    found = features.principal([given[:500], given[500:]], 3, centred)
    origin = given.mean(axis=0) if centred else 0
    _, values, vectors = np.linalg.svd(given.astype(np.float64) - origin, full_matrices=False)
    np.testing.assert_allclose(found.variances, values[:3] ** 2 / 900, rtol=1e-3)
    np.testing.assert_allclose(np.abs(vectors[:3] @ found.axes), np.eye(3), atol=5e-3)
    np.testing.assert_allclose((found.project(given) ** 2).mean(axis=0), found.variances, rtol=1e-3)
    assert (found.axes[np.abs(found.axes).argmax(axis=0), range(3)] > 0).all()


def test_the_projection_of_stacked_batches_is_that_of_each():
    given = samples(96, 7).reshape(4, 4, 6, 7)
    found = features.principal(given)
    each = np.stack([found.project(batch) for batch in given])
    assert each.shape == (4, 4, 6, 4) and np.ptp(each) > 1
    np.testing.assert_allclose(found.project(given), each, atol=1e-6)
    together = features.principal([given])
    np.testing.assert_allclose(together.axes, found.axes, atol=1e-5)


def test_there_may_be_fewer_channels_than_components_but_not_no_sample():
    given = samples(20, 2)
    assert features.principal([given], 4).axes.shape == (2, 2)
    with pytest.raises(ValueError, match="no sample"):
        features.principal([])


def test_a_component_in_grey_reaches_from_black_to_white_in_each_picture():
    maps = np.zeros((2, 3, 2), np.float32)
    maps[..., 0] = [[-5, 0, 5], [0, 0, 0]]
    maps[..., 1] = 7
    first, second = features.grey(maps, (4, 6))
    assert first.shape == (4, 6, 3) and first.dtype == np.uint8
    assert (first[:2, :2] == 0).all() and (first[:2, 4:] == 255).all() and (first[2:] == 128).all()
    assert (second == 0).all()


def test_colours_are_on_one_scale_for_all_pictures():
    maps = np.zeros((2, 2, 2, 2), np.float32)
    maps[0, ..., 0], maps[1, ..., 0], maps[1, 1, 1, 1] = 1.0, 3.0, 1.0
    dark, light = features.colored(maps, (2, 2))
    assert (dark == 0).all() and (light[..., 0] == 255).all() and (light[..., 2] == 0).all()
    assert light[1, 1, 1] == 255 and light[0, 0, 1] == 0
