import math

import numpy as np
import pytest

from tf_landmarks.metrics import landmark_errors

NAN = np.nan
# Eyes at (0, 0) and (10, 0): an inter-ocular distance of 10.
FACE = np.array([[[0, 0], [10, 0], [5, 5], [2, 8], [8, 8]]], np.float64)


def moved(points, x, y):
    return points + np.array([x, y])


def nme(predicted, annotated, normalizer=(0, 1), **options):
    lengths = landmark_errors.normalizer_lengths(annotated, normalizer)
    return landmark_errors.nme_percent(
        landmark_errors.normalized_errors(predicted, annotated, lengths, **options)
    )


@pytest.mark.core
def test_error_of_half_the_eye_distance_is_nme_50():
    # |(3, 4)| = 5 on every point, over 10.
    assert nme(moved(FACE, 3, 4), FACE) == pytest.approx(50.0)


@pytest.mark.core
def test_nme_does_not_change_with_scale_shift_or_rotation():
    rng = np.random.default_rng(0)
    annotated, predicted = rng.normal(size=(2, 7, 5, 2))
    turn = np.array([[math.cos(1), math.sin(1)], [-math.sin(1), math.cos(1)]])
    turned = [2 * points @ turn + np.array([30, -4]) for points in (predicted, annotated)]
    assert nme(*turned) == pytest.approx(nme(predicted, annotated))


@pytest.mark.core
def test_perfect_prediction_scores_perfectly():
    distances = landmark_errors.point_distances(FACE, FACE)
    per_image = landmark_errors.image_errors(distances)
    assert nme(FACE, FACE) == 0
    assert landmark_errors.accuracy_at(distances, 0) == 100
    assert landmark_errors.pck(distances, 10) == 100
    assert (landmark_errors.error_auc(per_image), landmark_errors.failure_rate(per_image)) == (1, 0)


@pytest.mark.core
def test_nme_is_a_mean_of_ratios():
    # Errors 1 and 1 over 10 and 20: (10 % + 5 %) / 2 = 7.5 %; ratio of means would be 6.67 %.
    annotated = np.array([[[0, 0], [10, 0]], [[0, 0], [20, 0]]], np.float64)
    assert nme(moved(annotated, 0, 1), annotated) == pytest.approx(7.5)


@pytest.mark.core
def test_missing_points_are_left_out_and_the_rest_pooled():
    # Image 0 has one labelled point beside its eyes, image 1 none: errors .1 .1 .1 and .4 .4, over
    # five points 11 / 5 = 22 %; a mean of the two images' means would be 25 %.
    annotated = np.repeat(FACE[:, :3], 2, axis=0)
    annotated[1, 2] = (NAN, 3)  # Half a point is no point.
    predicted = np.repeat(FACE[:, :3], 2, axis=0)
    predicted[0] += (0, 1)
    predicted[1] += (4, 0)
    errors = landmark_errors.normalized_errors(predicted, annotated, 10)
    np.testing.assert_allclose(errors, [[0.1, 0.1, 0.1], [0.4, 0.4, NAN]])
    assert landmark_errors.nme_percent(errors) == pytest.approx(22.0)
    np.testing.assert_allclose(landmark_errors.nme_percent(errors, axis=0), [25, 25, 10])
    np.testing.assert_allclose(landmark_errors.image_errors(errors), [0.1, 0.4])


@pytest.mark.core
def test_images_without_a_normaliser_are_skipped_counted_or_refused():
    annotated = np.repeat(FACE, 4, axis=0)
    annotated[1, :2] = 3  # Both eyes in one place.
    annotated[2, 0] = NAN  # One eye missing.
    annotated[3] = NAN  # No labels at all: nothing to skip.
    predicted = moved(np.nan_to_num(annotated), 0, 1)
    lengths = landmark_errors.normalizer_lengths(annotated, (0, 1))
    np.testing.assert_array_equal(lengths, [10, 0, NAN, NAN])
    assert landmark_errors.skipped_images(annotated, lengths).tolist() == [False, True, True, False]
    assert nme(predicted, annotated) == pytest.approx(10.0)
    with pytest.raises(ValueError, match=r"2 labelled images have no usable normaliser.*image 1"):
        nme(predicted, annotated, strict=True)


@pytest.mark.core
def test_nothing_labelled_gives_nan_and_no_warning(recwarn):
    errors = np.full((3, 2), NAN)
    assert math.isnan(landmark_errors.nme_percent(errors))
    assert np.isnan(landmark_errors.nme_percent(errors, axis=0)).all()
    assert all(map(math.isnan, landmark_errors.bootstrap_interval(errors)))
    assert math.isnan(landmark_errors.error_auc(landmark_errors.image_errors(errors)))
    assert math.isnan(landmark_errors.failure_rate(landmark_errors.image_errors(errors)))
    assert math.isnan(landmark_errors.pck(errors, 1))
    assert not recwarn.list


@pytest.mark.core
def test_a_labelled_point_without_prediction_is_an_error_unless_allowed():
    predicted = FACE.copy()
    predicted[0, 3] = NAN
    with pytest.raises(ValueError, match="Point 3 of image 0 is labelled but predicted as"):
        landmark_errors.normalized_errors(predicted, FACE, 10)
    errors = landmark_errors.normalized_errors(predicted, FACE, 10, allow_unpredicted=True)
    assert np.isnan(errors).tolist() == [[False, False, False, True, False]]
    predicted[0, 3], predicted[0, 4] = np.inf, NAN
    with pytest.raises(ValueError, match=r"Point 3 of image 0 .*; 2 such points"):  # the first
        landmark_errors.normalized_errors(predicted, FACE, 10)
    errors = landmark_errors.normalized_errors(predicted, FACE, 10, allow_unpredicted=True)
    assert np.isnan(errors).tolist() == [[False, False, False, True, True]]


@pytest.mark.core
def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"\(1, 4, 2\).*\(1, 5, 2\).*\[N, A, 2\]"):
        landmark_errors.point_distances(FACE[:, :4], FACE)
    with pytest.raises(ValueError, match=r"\(5, 2\) must both be \[N, A, 2\]"):
        landmark_errors.point_distances(FACE[0], FACE[0])


@pytest.mark.core
def test_lmdis_variant_divides_y_by_height_and_x_by_width():
    # 100 high, 200 wide; eyes 20 px apart in x, error 2 px in y: pixels 2/20 = 10 %,
    # LMDIS (2/100) / (20/200) = 0.02 / 0.1 = 20 %.
    annotated = np.array([[[50, 40], [70, 40]]], np.float64)
    predicted = moved(annotated, 0, 2)
    assert nme(predicted, annotated) == pytest.approx(10.0)
    scaled = [landmark_errors.divide_by_size(p, (100, 200)) for p in (predicted, annotated)]
    assert nme(*scaled) == pytest.approx(20.0)
    scaled = [landmark_errors.divide_by_size(p, [(100, 200)]) for p in (predicted, annotated)]
    assert nme(*scaled) == pytest.approx(20.0)
    square = [landmark_errors.divide_by_size(p, (80, 80)) for p in (predicted, annotated)]
    assert nme(*square) == pytest.approx(10.0)


@pytest.mark.core
def test_edge_normaliser_is_the_root_of_the_area():
    # sqrt(50 * 200) = 100, so an error of 5 px is 5 %.
    lengths = landmark_errors.normalizer_lengths(FACE, "edge", [(50, 200)])
    assert lengths.tolist() == [100]
    assert landmark_errors.nme_percent(
        landmark_errors.normalized_errors(moved(FACE, 3, 4), FACE, lengths)
    ) == pytest.approx(5.0)
    with pytest.raises(ValueError, match=r"'iod'.*two landmark indices, or 'edge'"):
        landmark_errors.normalizer_lengths(FACE, "iod")
    with pytest.raises(ValueError, match=r"'area'.*two landmark indices, or 'edge'"):
        landmark_errors.normalizer_lengths(FACE, "area", [(50, 200)])
    with pytest.raises(ValueError, match="image_sizes"):
        landmark_errors.normalizer_lengths(FACE, "edge")


@pytest.mark.core
def test_pupil_normaliser_is_the_distance_of_group_means():
    # Eye corners at x = -30, -10 and 10, 30: outer corners 60 apart, eye centres 40.
    corners = np.array([[[-30, 7], [-10, 7], [10, 7], [30, 7]]], np.float64)
    assert landmark_errors.normalizer_lengths(corners, (0, 3)).tolist() == [60]
    assert landmark_errors.normalizer_lengths(corners, ([0, 1], [2, 3])).tolist() == [40]


@pytest.mark.core
def test_accuracy_counts_points_on_the_limit():
    # Distances 6, 6.01, 5 and 100 px; one missing. Within 6 px: two of four.
    distances = np.array([[6, 6.01], [5, NAN], [100, NAN]])
    assert landmark_errors.accuracy_at(distances, 6) == pytest.approx(50)
    np.testing.assert_allclose(landmark_errors.accuracy_at(distances, 6, axis=0), [200 / 3, 0])
    # BBC-Pose as released: 12 px of the frame is a hit, 12.1 is not.
    annotated = np.array([[[100.3, 50], [100.3, 50]]])
    predicted = annotated + np.array([[12, 0], [12.1, 0]])
    assert (
        landmark_errors.accuracy_at(landmark_errors.point_distances(predicted, annotated), 12) == 50
    )


@pytest.mark.core
def test_pck_limit_of_a_tenth_of_224_is_22_4():
    annotated = np.full((1, 2, 2), 100.0)
    predicted = annotated + np.array([[22.4, 0], [0, 22.5]])  # 122.4 - 100 is 22.400000000000006.
    distances = landmark_errors.point_distances(predicted, annotated)
    assert distances[0, 0] > 0.1 * 224
    assert landmark_errors.pck(distances, 224, alpha=0.1) == 50


@pytest.mark.core
def test_pck_averages_pairs_or_points():
    # Pair A 1 of 1, pair B 0 of 3: mean over pairs 50 %, over points 25 %.
    distances = np.array([[1, NAN, NAN], [9, 9, 9]])
    assert landmark_errors.pck(distances, 20) == 50
    assert landmark_errors.pck(distances, 20, average="points") == 25
    assert landmark_errors.pck(distances, [20, 0]) == 100  # The second pair has no length.
    with pytest.raises(ValueError, match="images or points"):
        landmark_errors.pck(distances, 20, average="pairs")


@pytest.mark.core
def test_auc_and_failure_rate_of_four_known_errors():
    # (.06 + .04 + .02 + 0) / 4 / .08 = .375; one of four above .08.
    errors = np.array([0.02, 0.04, 0.06, 0.10])
    assert landmark_errors.error_auc(errors, 0.08) == pytest.approx(0.375)
    assert landmark_errors.failure_rate(errors, 0.08) == pytest.approx(0.25)
    limits = [0.01, 0.04, 0.07, 1]
    np.testing.assert_allclose(landmark_errors.cumulative_errors(errors, limits), [0, 0.5, 0.75, 1])


@pytest.mark.core
def test_auc_is_the_integral_of_the_cumulative_distribution():
    errors = np.random.default_rng(1).exponential(0.05, 50)
    limits = (np.arange(4000) + 0.5) / 4000 * 0.08
    area = landmark_errors.cumulative_errors(errors, limits).mean()
    assert landmark_errors.error_auc(errors) == pytest.approx(area, abs=1e-3)


@pytest.mark.core
def test_useless_predictions_have_auc_zero_and_fail_always():
    errors = np.array([0.2, 0.09, NAN])
    assert (landmark_errors.error_auc(errors), landmark_errors.failure_rate(errors)) == (0, 1)
    assert landmark_errors.failure_rate(np.array([0.08])) == 0  # On the threshold is no failure.


@pytest.mark.core
def test_bootstrap_interval_of_equal_errors_has_no_width():
    assert landmark_errors.bootstrap_interval(np.full((9, 3), 0.1)) == pytest.approx((10, 10))
    assert landmark_errors.bootstrap_interval(np.array([[0.1, 0.3]])) == pytest.approx((20, 20))


@pytest.mark.core
def test_bootstrap_interval_matches_the_normal_approximation():
    # 400 images of independent errors with sd .02: half width 1.96 * .02 / 20 = .00196.
    errors = np.random.default_rng(3).normal(0.1, 0.02, (400, 1))
    low, high = landmark_errors.bootstrap_interval(errors, draws=4000)
    half = 100 * 1.96 * errors.std() / 20
    assert low == pytest.approx(100 * errors.mean() - half, abs=0.02)
    assert high == pytest.approx(100 * errors.mean() + half, abs=0.02)


@pytest.mark.core
def test_bootstrap_resamples_whole_images():
    # Two points that repeat each other carry no more information than one.
    one = np.random.default_rng(4).exponential(0.1, (50, 1))
    pair = np.repeat(one, 2, axis=1)
    assert landmark_errors.bootstrap_interval(pair) == pytest.approx(
        landmark_errors.bootstrap_interval(one)
    )


@pytest.mark.core
def test_bootstrap_pools_points_as_the_score_does():
    # Two images, three points of .1 and one of .5. The resamples score 10 (one in four),
    # (.3 + .5) / 4 = 20 % (one in two) or 50 (one in four); the middle ones are 20.
    errors = np.array([[0.1, 0.1, 0.1], [0.5, NAN, NAN]])
    assert landmark_errors.bootstrap_interval(errors, level=0.2) == pytest.approx((20, 20))


@pytest.mark.core
def test_bootstrap_repeats_and_ignores_unlabelled_images():
    errors = np.random.default_rng(5).exponential(0.1, (30, 4))
    nothing = np.full((20, 4), NAN)
    for padded in ([errors, nothing], [nothing, errors]):
        interval = landmark_errors.bootstrap_interval(np.concatenate(padded))
        assert interval == landmark_errors.bootstrap_interval(errors)
    assert landmark_errors.bootstrap_interval(errors) != landmark_errors.bootstrap_interval(
        errors, seed=1
    )


@pytest.mark.core
def test_bootstrap_of_a_large_set_is_drawn_in_blocks_without_a_trace():
    # 3 000 images * 1 000 draws take two blocks; the stream is that of one.
    errors = np.random.default_rng(6).exponential(0.1, (3000, 1))
    picked = np.random.default_rng(0).integers(3000, size=(1000, 3000))
    expected = np.quantile(100 * errors[picked, 0].mean(axis=1), [0.025, 0.975])
    assert landmark_errors.bootstrap_interval(errors) == pytest.approx(tuple(expected))


def test_an_object_the_wrong_way_round_is_told_from_one_that_is_merely_off():
    mouse = np.array([[0.0, 0], [8, 3], [8, -3], [30, 0]])  # snout, ears, tail
    turned = mouse.mean(axis=0) - (mouse - mouse.mean(axis=0))
    across = mouse * [-1, 1] + [2 * mouse[:, 0].mean(), 0]
    along = mouse * [1, -1]
    guesses = np.array([turned, across, along, mouse + 9, mouse, turned + 2])
    truth = np.repeat(mouse[np.newaxis], len(guesses), axis=0)
    found = landmark_errors.reversed_images(guesses, truth)
    # Along its axis the ears alone change places: a distance of 3 of the mean against 0.
    assert found.tolist() == [True, True, True, False, False, True]


@pytest.mark.core
def test_each_of_the_three_reversals_is_tried_by_itself():
    # Without any symmetry, its axes those of the frame: x . y = 0.
    shape = np.array([[-10.0, 1.6], [-1, -8], [3, 8.64], [8, -2.24]])
    for signs in ([-1, -1], [-1, 1], [1, -1]):
        assert landmark_errors.reversed_images([shape * signs], [shape]).all()
    triangle = np.array([[-10.0, -1], [2, -4], [8, 5]])
    axes = np.linalg.eigh(triangle.T @ triangle)[1].T[::-1]
    for signs in ([-1, 1], [1, -1]):
        mirrored = (triangle @ axes.T * signs) @ axes
        assert landmark_errors.reversed_images([mirrored], [triangle]).all()


@pytest.mark.core
def test_two_points_can_be_turned_and_one_cannot():
    truth = np.array([[[0.0, 0], [10, 4]], [[0.0, 0], [np.nan, np.nan]]])
    assert landmark_errors.reversed_images(truth[:, ::-1], truth).tolist() == [True, False]


def test_images_of_a_group_are_drawn_together():
    random = np.random.default_rng(0)
    of_group = random.uniform(0.05, 0.2, 12)
    errors = np.repeat(of_group, 50)[:, np.newaxis]  # 12 videos, whose frames are all alike
    groups = np.repeat(np.arange(12), 50)
    alone = landmark_errors.bootstrap_interval(errors)
    together = landmark_errors.bootstrap_interval(errors, groups=groups)
    of_videos = landmark_errors.bootstrap_interval(of_group[:, np.newaxis])
    np.testing.assert_allclose(together, of_videos, rtol=1e-12)
    assert np.diff(together) > 5 * np.diff(alone)
    each = landmark_errors.bootstrap_interval(errors, groups=7 * np.arange(600)[::-1])
    np.testing.assert_allclose(each, alone, rtol=0.02)
