"""Rivals: what they describe, whose draws they get, how they are measured."""

import numpy as np
import pytest

from tests.evaluation import toy_data
from tf_landmarks.data import labelled
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import protocols, regression, rivals
from tf_landmarks.evaluation.yardstick import Yardstick

pytestmark = pytest.mark.core

GEOMETRY = Geometry(32)
LINEAR = protocols.PROTOCOLS["linear"]
PIXELS, HOG = rivals.RIDGES


def splits(folder, count=30, sizes=(32, 32)):
    """Images of a large disc whose centre is labelled three times."""
    for part, n, seed in (("train", count, 1), ("test", 9, 2)):
        random = np.random.default_rng(seed)
        points = np.repeat(random.integers(8, 22, (n, 1, 2)).astype(float), 3, axis=1)
        toy_data.write_part(folder / part, points, sizes)
        for name, (x, y) in zip(sorted_names(n), points[:, 0], strict=True):
            paint(folder / part / "images" / name, x, y, sizes)
    return labelled.read_splits(str(folder), "test")


def sorted_names(count):
    return [f"dots{i}.png" for i in range(count)]


def paint(path, x, y, size):
    rows, columns = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(rows - y, columns - x)
    grey = np.uint8(255 / (1 + np.exp(distance - 5)))
    from PIL import Image

    Image.fromarray(grey).convert("RGB").save(path)


def measure(rival, train, test, **options):
    truth = test.to_network(GEOMETRY, test.points)
    yardstick = Yardstick(LINEAR, truth, np.full(len(test), 32.0))
    return rivals.measure(rival, train, test, GEOMETRY, yardstick, **options)


@pytest.mark.parametrize("rival", rivals.RIDGES, ids=lambda rival: rival.name)
def test_a_ridge_finds_a_disc_and_better_with_more_labels(tmp_path, rival):
    train, test = splits(tmp_path)
    score = measure(rival, train, test, counts=(2, "all"), repeats=5)
    assert [few.n for few in score.few_labels] == [2, 30]
    everything = 100 * score.errors.mean()
    assert score.few_labels[-1].mean == pytest.approx(everything)
    assert everything < 5 < score.few_labels[0].mean


def test_ridges_are_chosen_by_name_and_may_be_none():
    assert rivals.ridges(["hog", "pixels"]) == [PIXELS, HOG]
    assert rivals.ridges(["hog"]) == [HOG] and rivals.ridges([]) == []
    with pytest.raises(
        UserError, match=r"--rivals=hog,unet: there is no unet; it takes pixels, hog"
    ):
        rivals.ridges(["hog", "unet"])


def test_predictions_are_in_pixels_of_images_of_any_shape(tmp_path):
    train, test = splits(tmp_path, sizes=(32, 56))
    learn = PIXELS.learner(train, test, LINEAR, seed=0)
    found = learn(np.arange(len(train)), 0)
    assert np.abs(found - test.points).mean() < 2.5


def test_a_rival_gets_the_draws_that_the_model_gets(tmp_path):
    train, test = splits(tmp_path, count=12)
    seen = []

    class Spy(rivals.Rival):
        name = title = "spy"

        def learner(self, train, test, protocol, seed):
            def learn(rows, repeat):
                seen.append((repeat, rows.tolist()))
                return test.points

            return learn

    score = measure(Spy(), train, test, counts=(4, "all"), repeats=2, seed=5)
    draws = [(r, sorted(labelled.draw_rows(12, 4, r, 5).tolist())) for r in (0, 1)]
    assert seen == [(0, list(range(12))), *draws]
    assert (score.errors == 0).all() and [few.mean for few in score.few_labels] == [0, 0]


def test_a_basis_changes_no_prediction():
    random = np.random.default_rng(0)
    described = random.normal(size=(20, 50))
    described[:, 3] = 7.0
    points = random.normal(size=(20, 2, 2))
    variances, vectors = np.linalg.eigh(described @ described.T)
    basis = described.T @ (vectors / np.sqrt(variances))
    rows, others = np.arange(12), np.arange(12, 20)
    ridge = {"bias": True, "ridge": 3.0}
    whole = regression.fit_linear(described[rows], points[rows], **ridge)
    turned = regression.fit_linear((described @ basis)[rows], points[rows], **ridge)
    np.testing.assert_allclose(
        turned.predict(described[others] @ basis), whole.predict(described[others]), atol=1e-9
    )


def test_descriptors_longer_than_wanted_lie_in_the_space_of_the_images(tmp_path, monkeypatch):
    train, test = splits(tmp_path, count=10)
    whole = HOG.learner(train, test, LINEAR, seed=0)(np.arange(8), 0)
    described = HOG._features(train.images, None)
    assert described.shape == (10, 15 * 15 * 4 * 9)
    basis = HOG._basis(train)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-6)
    np.testing.assert_allclose(described @ basis @ basis.T, described, atol=1e-5)
    monkeypatch.setattr(rivals, "_MAX_DIMENSIONS", 10**6)
    assert HOG._basis(train) is None
    unturned = HOG.learner(train, test, LINEAR, seed=0)(np.arange(8), 0)
    np.testing.assert_allclose(whole, unturned, atol=1e-3)


def test_where_sides_are_ambiguous_the_ridge_is_fitted_to_the_nearer(tmp_path):
    train, test = splits(tmp_path)
    for images in (train, test):  # left to the right of right, and exchanged in every other image
        images.points[:, 0, 0] += 6
        images.points[::2, [0, 1]] = images.points[::2, [1, 0]]
    protocol = LINEAR.with_flip_pairs("left:right", test.names)
    truth = test.to_network(GEOMETRY, test.points)
    yardstick = Yardstick(protocol, truth, np.full(len(test), 32.0))
    score = rivals.measure(PIXELS, train, test, GEOMETRY, yardstick, counts=("all",))
    assert 100 * score.errors.mean() < 5
    assert 100 * measure(PIXELS, train, test, counts=("all",)).errors.mean() > 6


def test_hog_has_nine_directions_in_each_cell_of_each_block():
    edge = np.zeros((128, 128), np.uint8)
    edge[:, 60:] = 255
    described = rivals._hog(edge)
    assert described.shape == (15 * 15 * 4 * 9,)  # blocks of 2 x 2 cells, a cell apart
    by_direction = described.reshape(-1, 9).sum(axis=0)
    assert by_direction.argmax() in (0, 8) and by_direction[3:6].max() < 1e-3  # across the edge
