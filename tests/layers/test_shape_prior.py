"""A Gaussian of shapes: what it learns, what it expects of a landmark, and what that makes of heat maps."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import commands
from tf_landmarks.layers import soft_argmax
from tf_landmarks.layers.shape_prior import ShapePrior

pytestmark = pytest.mark.core
TRIANGLE = np.array([[-0.4, 0.0], [0.3, -0.3], [0.2, 0.4]])  # (y, x), without symmetry


def triangles(count: int, seed: int = 0) -> np.ndarray:
    """`[count, 3, 2]`, in any direction, anywhere."""
    draw = np.random.default_rng(seed)
    angle = draw.uniform(0, 2 * np.pi, count)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = np.einsum("ijn,aj->nai", turn, TRIANGLE)
    return np.float32(turned + draw.uniform(-0.2, 0.2, (count, 1, 2)))


def taught(points: np.ndarray, confidence: np.ndarray | None = None, **options) -> ShapePrior:
    prior = ShapePrior(points.shape[1], momentum=0.0, **options)
    sure = np.ones(points.shape[:2], np.float32) if confidence is None else confidence
    prior.observe(tf.constant(points), tf.constant(sure))
    return prior


def detection(maps: tf.Tensor) -> soft_argmax.Detection:
    maps = maps / tf.reduce_sum(maps, axis=(1, 2), keepdims=True)
    return soft_argmax.Detection(soft_argmax.mean(maps), maps, maps)


def blobs(points, std: float = 0.06) -> tf.Tensor:
    return soft_argmax.gaussian_maps(tf.constant(points, tf.float32), (32, 32), std)


def test_mean_and_covariance_are_those_of_what_it_saw():
    points = np.random.default_rng(0).normal(0, 0.3, (50, 4, 2)).astype(np.float32)
    prior = taught(points)
    mean, covariance = prior.mean, prior.covariance
    np.testing.assert_allclose(mean, points.reshape(50, 8).mean(0), atol=1e-5)
    expected = np.cov(points.reshape(50, 8).T, bias=True)
    np.testing.assert_allclose(covariance, expected, atol=1e-5)


def test_a_landmark_counts_by_the_square_of_its_confidence():
    points = np.random.default_rng(0).normal(0, 0.3, (40, 2, 2)).astype(np.float32)
    sure = np.ones((40, 2), np.float32)
    sure[20:, 1] = 0.0
    mean = taught(points, sure).mean
    np.testing.assert_allclose(mean[:2], points[:, 0].mean(0), atol=1e-5)
    np.testing.assert_allclose(mean[2:], points[:20, 1].mean(0), atol=1e-5)
    sure[:, 1] = np.linspace(0, 1, 40)
    prior = taught(points, sure)
    weights = sure[:, 1] ** 4  # of the pair of a landmark with itself
    np.testing.assert_allclose(prior.mean[2:], np.average(points[:, 1], 0, weights), atol=1e-5)
    assert np.linalg.eigvalsh(prior.covariance).min() > -1e-6


def test_landmarks_that_are_never_seen_together_are_independent():
    points = np.random.default_rng(0).normal(0.3, 0.2, (40, 2, 2)).astype(np.float32)
    sure = np.zeros((40, 2), np.float32)
    sure[:20, 0] = sure[20:, 1] = 1.0
    prior = taught(points, sure)
    expected = np.zeros((4, 4))
    expected[:2, :2], expected[2:, 2:] = (
        np.cov(seen.T, bias=True) for seen in (points[:20, 0], points[20:, 1])
    )
    np.testing.assert_allclose(prior.covariance, expected, atol=1e-5)


def test_the_covariance_is_one_even_if_each_pair_is_seen_in_other_images():
    """x, y and z of three landmarks, each pair of them seen alike or opposite in images of its own: no Gaussian does that."""
    value = np.random.default_rng(0).normal(0, 0.3, 20).astype(np.float32)
    points, sure = np.zeros((60, 3, 2), np.float32), np.zeros((60, 3), np.float32)
    for part, (a, b, sign) in enumerate([(0, 1, 1), (1, 2, 1), (0, 2, -1)]):
        rows = slice(20 * part, 20 * part + 20)
        sure[rows, [a]] = sure[rows, [b]] = 1.0
        points[rows, a, 0], points[rows, b, 0] = value, sign * value
    prior = taught(points, sure)
    assert np.linalg.eigvalsh(prior.covariance).min() > -1e-6
    refined = prior.refine(detection(blobs(triangles(4))))
    assert np.isfinite(refined.landmarks).all()


def test_later_batches_move_it_by_the_momentum():
    one, other = (np.full((3, 1, 2), value, np.float32) for value in (0.5, -0.5))
    prior = ShapePrior(1, momentum=0.75)
    prior.observe(tf.constant(one), tf.ones([3, 1]))
    prior.observe(tf.constant(other), tf.ones([3, 1]))
    # The start counts as a batch whose mean is 0, here of the share 0.75^2.
    np.testing.assert_allclose(prior.mean, 0.75 * 0.25 * 0.5 - 0.25 * 0.5, atol=1e-6)


def test_a_map_is_multiplied_by_the_gaussian_given_the_others():
    """By hand: the others' readings, each as noisy as its map is wide and the tolerance, condition the Gaussian."""
    prior = taught(triangles(300), tolerance=0.08, weight=0.7)
    points = triangles(5, seed=1)
    maps = [blobs(points[:, [a]], width) for a, width in enumerate((0.05, 0.1, 0.2))]
    found = detection(tf.concat(maps, axis=-1))
    mean, covariance = (np.asarray(x, np.float64) for x in (prior.mean, prior.covariance))
    cells = np.linspace(-1, 1, 32)
    grid = np.stack(np.meshgrid(cells, cells, indexing="ij"), -1).reshape(-1, 2)
    tolerance = 0.08**2 * np.eye(2)
    refined = prior.refine(found, rounds=1).heatmaps.numpy().reshape(5, 1024, 3)
    for image, own_maps in enumerate(np.asarray(found.heatmaps, np.float64).reshape(5, 1024, 3)):
        readings = (own_maps.T @ grid).reshape(-1)
        noise = np.zeros((6, 6))
        for a in range(3):
            spread = np.cov(grid.T, aweights=own_maps[:, a], bias=True)
            noise[2 * a : 2 * a + 2, 2 * a : 2 * a + 2] = spread + tolerance
        for a in range(3):
            own, others = [2 * a, 2 * a + 1], [i for i in range(6) if i // 2 != a]
            both = (covariance + noise)[np.ix_(others, others)]
            gain = covariance[np.ix_(own, others)] @ np.linalg.inv(both)
            expected = mean[own] + gain @ (readings - mean)[others]
            left = covariance[np.ix_(own, own)] - gain @ covariance[np.ix_(others, own)]
            apart = grid - expected
            distance = np.sum(apart @ np.linalg.inv(left + tolerance) * apart, axis=1)
            by_hand = (own_maps[:, a] + 1e-8) * np.exp(-0.35 * distance)
            np.testing.assert_allclose(
                refined[image, :, a], by_hand / by_hand.sum(), rtol=2e-3, atol=1e-6
            )


@pytest.mark.parametrize("seed", range(3))
def test_the_others_tell_which_of_two_places_is_right_in_any_direction(seed):
    prior = taught(triangles(300), weight=1.0)
    points = triangles(40, seed=10 + seed)
    base = points[:, 1] - points[:, 0]  # the mirror image of the third in the line of the others
    along = base / np.linalg.norm(base, axis=-1, keepdims=True)
    arm = points[:, 2] - points[:, 0]
    wrong = points[:, 0] + 2 * along * np.sum(along * arm, -1, keepdims=True) - arm
    assert np.linalg.norm(wrong - points[:, 2], axis=-1).min() > 0.3
    maps = blobs(points)
    both = 0.4 * maps[..., 2] + 0.6 * blobs(wrong[:, np.newaxis])[..., 0]
    found = detection(tf.stack([maps[..., 0], maps[..., 1], both], axis=-1))
    refined = prior.refine(found)
    before, after = (np.linalg.norm(x.landmarks[:, 2] - points[:, 2], axis=-1) for x in (found, refined))  # fmt: skip
    assert before.min() > 0.15 and after.max() < 0.06
    np.testing.assert_allclose(refined.landmarks[:, :2], points[:, :2], atol=0.06)
    assert (soft_argmax.confidence(refined)[:, 2] > soft_argmax.confidence(found)[:, 2]).numpy().all()  # fmt: skip


def test_maps_remain_distributions_however_narrow_or_flat_they_are():
    narrow = tf.one_hot([[5, 900, 17]], 1024, axis=1)
    maps = tf.concat([tf.reshape(narrow, [1, 32, 32, 3]), tf.ones([1, 32, 32, 3])], axis=0)
    refined = taught(triangles(100)).refine(detection(maps))
    np.testing.assert_allclose(tf.reduce_sum(refined.heatmaps, axis=(1, 2)), 1.0, atol=1e-5)
    np.testing.assert_allclose(refined.landmarks, soft_argmax.mean(refined.heatmaps), atol=1e-5)
    # Where nothing is seen, the mean shape is expected.
    mean = tf.reshape(taught(triangles(100)).mean, [3, 2])
    np.testing.assert_allclose(refined.landmarks[1], mean, atol=0.02)


def test_before_it_has_seen_anything_it_hardly_moves_what_is_seen():
    found = detection(blobs(triangles(8)))
    refined = ShapePrior(3).refine(found)
    np.testing.assert_allclose(refined.landmarks, found.landmarks, atol=0.01)


@pytest.mark.system
def test_replicas_learn_one_gaussian_of_all_their_images(tmp_path):
    # A process of its own, see tests/conformance/replicas.py.
    script = pathlib.Path(__file__).with_name("shapes_on_replicas.py")
    subprocess.run([sys.executable, script, tmp_path], env=commands.ENVIRONMENT, check=True)
    found = np.load(tmp_path / "found.npz")
    alone = ShapePrior(3, momentum=0.6)
    for shapes, confidence in zip(found["shapes"], found["confidence"], strict=True):
        alone.observe(tf.constant(np.concatenate(shapes)), tf.constant(np.concatenate(confidence)))
    for replica in range(2):
        np.testing.assert_allclose(found["mean"][replica], alone.mean, atol=1e-6)
        np.testing.assert_allclose(found["covariance"][replica], alone.covariance, atol=1e-6)
