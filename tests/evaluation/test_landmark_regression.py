import json
import os
import weakref

import numpy as np
import pytest

from tests.evaluation import toy_data
from tf_landmarks.data import fingerprints, image_files, labelled
from tf_landmarks.evaluation import landmark_regression, protocol_kinds, protocols, regression
from tf_landmarks.report import text

pytestmark = pytest.mark.core

EXACT = protocols.resolve("linear", ridge=0.0)


def measure(
    model, folder, normalizer="edge", protocol=EXACT, split="test", flip_pairs="", **options
):
    held_out = model.known_images("validation")
    train, test = labelled.read_splits(str(folder), split, held_out)
    protocol = protocol.with_flip_pairs(flip_pairs, test.names)
    return landmark_regression.evaluate(model, train, test, normalizer, protocol, **options)


@pytest.fixture
def folder(tmp_path):
    toy_data.write_part(tmp_path / "train", toy_data.random_points(20, seed=1))
    toy_data.write_part(tmp_path / "test", toy_data.random_points(8, seed=2))
    return tmp_path


CLOSED = [p for p in protocols.PROTOCOLS.values() if p.fitted == "closed"]


@pytest.mark.parametrize("protocol", CLOSED, ids=lambda p: p.name)
def test_a_perfect_detector_has_no_error(folder, protocol):
    scores = measure(toy_data.DotModel(), folder, protocol=protocol).metrics
    assert scores["nme_percent"] < 1e-4
    assert scores["nme_interval_percent"][1] < 1e-4
    assert scores["few_labels"][-1]["mean"] < 1e-4
    assert scores["mean_shape_nme_percent"] > 10
    # The stand-in for the untrained network finds the corner everywhere: with a bias that is worth
    # the mean shape, without one nothing can be said but the origin.
    if protocol.bias:
        assert scores["untrained_nme_percent"] == pytest.approx(scores["mean_shape_nme_percent"])
    else:
        assert scores["untrained_nme_percent"] >= scores["mean_shape_nme_percent"]


def test_a_map_fitted_by_gradient_over_warped_images_finds_the_points(folder, monkeypatch):
    monkeypatch.setattr(protocol_kinds, "FEW_STEPS", 20)
    monkeypatch.setattr(regression, "MAX_STEPS", 8000)
    scores = measure(
        toy_data.DotModel(), folder, protocol=protocols.PROTOCOLS["fse_gradient"]
    ).metrics
    # Warped dots are found to the nearest pixel only.
    assert scores["nme_percent"] < 0.2 * scores["mean_shape_nme_percent"]
    assert scores["untrained_nme_percent"] > 0.9 * scores["mean_shape_nme_percent"]
    assert scores["protocol"]["ridge_chosen"] == []


def test_left_and_right_exchanged_in_the_annotation_cost_nothing_where_pairs_are_named(tmp_path):
    for part, seed in (("train", 1), ("test", 2)):
        points = toy_data.random_points(20, seed=seed)
        points[:, :2] = np.sort(points[:, :2], axis=1)[:, ::-1]  # left is on the right: frontal
        shown = points.copy()
        toy_data.write_part(tmp_path / part, shown)
        points[::3, :2] = points[::3, 1::-1]  # from the back
        with open(tmp_path / part / "landmarks.csv", encoding="utf-8") as file:
            head, *_ = file.read().splitlines()
        rows = [f"dots{i}.png," + ",".join(map(str, row.ravel())) for i, row in enumerate(points)]
        (tmp_path / part / "landmarks.csv").write_text("\n".join([head, *rows]) + "\n")
    plain = measure(toy_data.DotModel(), tmp_path, normalizer="edge").metrics
    paired = measure(
        toy_data.DotModel(), tmp_path, normalizer="edge", flip_pairs="left:right"
    ).metrics
    assert plain["nme_percent"] > 5
    assert paired["nme_percent"] < 0.1
    assert paired["protocol"]["flip_pairs"] == "left:right"


def test_a_constant_detector_has_the_error_of_the_mean_shape(folder):
    scores = measure(toy_data.DotModel(constant=(5.0, 6.0)), folder).metrics
    assert scores["nme_percent"] == pytest.approx(scores["mean_shape_nme_percent"])
    for row in scores["per_landmark"].values():
        assert row["nme_percent"] == pytest.approx(row["mean_shape_nme_percent"])


def test_errors_are_shares_of_the_network_view_for_any_picture_size(tmp_path):
    # Mean shape (10, 10), 3 and 4 pixels off in a input of 32: 5 / 32. The second picture is twice as
    # large, 64 high and 48 wide, and padded by 8 columns: image (13, 14) is (26.5 - 8, 28.5) there.
    toy_data.write_part(tmp_path / "train", np.full((2, 3, 2), 10.0))
    toy_data.write_part(tmp_path / "test", np.full((1, 3, 2), (13.0, 14.0)))
    model = toy_data.DotModel(constant=(3.0, 3.0))
    assert measure(model, tmp_path).metrics["nme_percent"] == pytest.approx(100 * 5 / 32)

    toy_data.write_part(tmp_path / "other" / "train", np.full((2, 3, 2), 10.0))
    toy_data.write_part(tmp_path / "other" / "test", np.full((1, 3, 2), (18.5, 28.5)), (64, 48))
    result = measure(model, tmp_path / "other")
    assert result.metrics["mean_shape_nme_percent"] == pytest.approx(100 * 5 / 32)


def test_a_pair_of_landmarks_is_the_unit_of_length(tmp_path):
    toy_data.write_part(tmp_path / "train", np.tile([[10.0, 10], [20, 10], [15, 20]], (2, 1, 1)))
    # "left" and "right" are 20 apart; off the mean shape by 2, sqrt(100 + 4) and 2.
    toy_data.write_part(tmp_path / "test", np.array([[[10.0, 12], [30, 12], [15, 22]]]))
    model = toy_data.DotModel(constant=(3.0, 3.0))
    scores = measure(model, tmp_path, "left, right").metrics
    assert [row["nme_percent"] for row in scores["per_landmark"].values()] == pytest.approx(
        [10, 5 * 104**0.5, 10]
    )
    assert scores["nme_percent"] == pytest.approx((20 + 5 * 104**0.5) / 3)


@pytest.mark.parametrize("normalizer", ["left,nose", "left", "left,left", "left,right,tail", ""])
def test_an_unknown_normalizer_lists_the_known_landmarks(folder, normalizer):
    with pytest.raises(
        ValueError, match=r"must be edge, box, or two of the landmarks.*left, right, tail"
    ):
        measure(toy_data.DotModel(), folder, normalizer)


def test_a_normalizer_that_no_test_image_labels_is_refused(tmp_path):
    toy_data.write_part(tmp_path / "train", toy_data.random_points(6))
    points = toy_data.random_points(3, seed=1)
    points[:, 0] = np.nan
    toy_data.write_part(tmp_path / "test", points)
    with pytest.raises(ValueError, match="no test image labels both points"):
        measure(toy_data.DotModel(), tmp_path, "left,right")


def test_parts_with_different_landmarks_are_refused(tmp_path):
    toy_data.write_part(tmp_path / "train", toy_data.random_points(4))
    toy_data.write_part(
        tmp_path / "test", toy_data.random_points(2), names=("left", "right", "nose")
    )
    with pytest.raises(ValueError, match=r"train has the landmarks .*'tail'.* test has .*'nose'"):
        measure(toy_data.DotModel(), tmp_path)


def test_a_landmark_without_training_labels_is_named(tmp_path):
    points = toy_data.random_points(4)
    points[:, 1] = np.nan
    toy_data.write_part(tmp_path / "train", points)
    toy_data.write_part(tmp_path / "test", toy_data.random_points(2))
    with pytest.raises(ValueError, match="no readable training image labels right"):
        measure(toy_data.DotModel(), tmp_path)


def test_a_test_image_that_was_trained_on_is_refused_by_name(folder):
    planted = str(folder / "test" / "images" / "dots3.png")
    model = toy_data.DotModel(trained_on=[planted])
    with pytest.raises(ValueError, match=r"1 of 8 test images were trained on, .*dots3\.png"):
        measure(model, folder)
    result = measure(model, folder, allow_training_images=True)
    assert result.metrics["protocol"]["num_trained_on"] == 1


def test_a_copy_of_a_trained_image_is_known_by_what_it_shows(folder):
    planted = image_files.read_image(str(folder / "test" / "images" / "dots3.png"))
    model = toy_data.DotModel(shown=[fingerprints.fingerprint(planted)])
    with pytest.raises(ValueError, match=r"1 of 8 test images were trained on, .*dots3\.png"):
        measure(model, folder)


def test_a_test_image_that_a_training_image_repeats_is_named(folder, caplog):
    copied = folder / "test" / "images" / "dots2.png"
    copied.write_bytes((folder / "train" / "images" / "dots5.png").read_bytes())
    measure(toy_data.DotModel(), folder)
    assert "1 of 8 test images show exactly what a training image shows" in caplog.text
    assert "dots2.png" in caplog.text


def test_links_do_not_hide_a_trained_image(folder, tmp_path):
    image = folder / "test" / "images" / "dots0.png"
    link = tmp_path / "link.png"
    link.symlink_to(image)
    with pytest.raises(ValueError, match="1 of 8 test images"):
        measure(toy_data.DotModel(trained_on=[str(link)]), folder)


def test_an_image_in_both_parts_is_refused(folder):
    image = folder / "test" / "images" / "dots2.png"
    image.unlink()
    image.symlink_to(folder / "train" / "images" / "dots5.png")
    with pytest.raises(ValueError, match=r"1 images are in both splits, .*dots2\.png"):
        measure(toy_data.DotModel(), folder, allow_training_images=True)


def test_the_validation_part_is_the_held_out_images(folder):
    held_out = [str(folder / "train" / "images" / f"dots{i}.png") for i in (4, 7, 11)]
    (folder / "train" / "images" / "dots0.png").write_bytes(b"no image")
    result = measure(toy_data.DotModel(held_out=held_out), folder, split="validation")
    assert sorted(result.test.paths) == sorted(held_out)
    protocol = result.metrics["protocol"]
    assert (protocol["num_train"], protocol["num_test"], protocol["num_unreadable"]) == (16, 3, 1)
    assert result.metrics["nme_percent"] < 1e-6


def test_validation_without_held_out_images_says_what_is_missing(folder):
    with pytest.raises(ValueError, match=r"--validation_fraction.*0 of 20 were held out"):
        measure(toy_data.DotModel(), folder, split="validation")


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_part_is_named(folder, missing):
    os.rename(folder / missing, folder / "elsewhere")
    with pytest.raises(ValueError, match=f"has no {missing}/ inside"):
        measure(toy_data.DotModel(), folder)


def test_unreadable_and_unlabelled_images_are_left_out_and_counted(tmp_path):
    points = toy_data.random_points(8)
    points[2] = np.nan
    toy_data.write_part(tmp_path / "train", points)
    toy_data.write_part(tmp_path / "test", toy_data.random_points(4, seed=1))
    (tmp_path / "train" / "images" / "dots5.png").write_bytes(b"no image")
    (tmp_path / "test" / "images" / "dots1.png").unlink()
    protocol = measure(toy_data.DotModel(), tmp_path).metrics["protocol"]
    assert (protocol["num_train"], protocol["num_test"], protocol["num_unreadable"]) == (6, 3, 2)


def test_points_come_back_in_pixels_of_pictures_of_any_shape(tmp_path):
    sizes = np.array([(40, 60), (60, 40), (33, 20), (128, 31), (32, 32), (50, 50)])
    many = np.tile(sizes, (4, 1))
    toy_data.write_part(tmp_path / "train", toy_data.random_points(24, many), many)
    points = toy_data.random_points(6, sizes, seed=1)
    toy_data.write_part(tmp_path / "test", points, sizes)
    result = measure(toy_data.DotModel(), tmp_path)
    order = [int(path[-5]) for path in result.test.paths]
    np.testing.assert_allclose(result.discovered, points[order])
    np.testing.assert_allclose(result.predicted, points[order], atol=1e-3)
    np.testing.assert_allclose(result.image_nme, 0, atol=1e-3)
    assert result.confidence.shape == (6, 3)


def test_missing_annotations_leave_strict_json(tmp_path):
    points = toy_data.random_points(10)
    points[3, 0] = points[4, 2] = np.nan
    toy_data.write_part(tmp_path / "train", points)
    points = toy_data.random_points(4, seed=1)
    points[:, 2] = np.nan
    points[1, 0] = np.nan
    toy_data.write_part(tmp_path / "test", points)
    result = measure(toy_data.DotModel(constant=(1.0, 1.0)), tmp_path, "left,right")
    scores = json.loads(json.dumps(result.metrics, allow_nan=False))
    assert scores["per_landmark"]["tail"]["nme_percent"] is None
    assert scores["protocol"]["num_skipped"] == 1
    assert np.isnan(result.image_nme).sum() == 1
    lines = text.table(result)
    assert [line.split()[1] for line in lines if line.startswith("tail")] == ["–"]


def test_health_comes_with_the_scores(folder):
    result = measure(toy_data.DotModel(num_landmarks=4, has_generator=True), folder)
    found = result.metrics["health"]
    assert (found["num_images"], len(found["points"])) == (8, 4)
    assert found["duplicates"] == [[0, 3]] and not found["collapsed"]
    assert found["shuffle_ratio"] == 1  # the stand-in draws grey
    lines = [line for line in text.table(result) if line.startswith("health: ")]
    assert len(lines) == len(found["warnings"]) >= 2 and "points 0 and 3" in lines[0]


def test_a_healthy_model_is_not_blamed(folder):
    result = measure(toy_data.DotModel(), folder)
    assert result.metrics["health"]["warnings"] == []
    assert "health: nothing found wrong" in text.table(result)


def test_a_detector_that_finds_the_same_everywhere_is_dead(folder):
    found = measure(toy_data.DotModel(constant=(5.0, 6.0)), folder).metrics["health"]
    assert found["collapsed"] and found["still"] == [0, 1, 2] and found["score"] is None
    assert "all points are dead: points 0 to 2" in found["warnings"][0]


def test_the_same_seed_gives_the_same_metrics(folder):
    model = toy_data.DotModel(constant=(1.0, 1.0))
    first, again, other = (measure(model, folder, seed=seed).metrics for seed in (3, 3, 4))
    assert first == again
    assert first["nme_interval_percent"] != other["nme_interval_percent"]


@pytest.fixture
def films(tmp_path):
    """Two videos to fit on, with labels in four and three frames; one to measure on."""
    return toy_data.write_videos(tmp_path)


def test_frames_are_guarded_like_images(films):
    (films / "link.avi").symlink_to(films / "test" / "d.avi")
    model = toy_data.DotModel(constant=(3.0, 3.0), trained_on=[str(films / "link.avi") + "#000006"])
    with pytest.raises(ValueError, match=r"1 of 2 test images were trained on, .*d\.avi#000006"):
        measure(model, films)
    model = toy_data.DotModel(held_out=[str(films / "train" / "a.avi#000003")])
    result = measure(model, films, split="validation")
    assert result.test.paths == [str(films / "train" / "a.avi#000003")]
    (films / "test" / "d.avi").unlink()
    (films / "test" / "d.avi").symlink_to(films / "train" / "a.avi")
    (films / "test" / "d.csv").write_text("frame,nose_x,nose_y\n3,1,1\n8,1,1")
    with pytest.raises(ValueError, match=r"1 images are in both splits, .*d\.avi#000003"):
        measure(toy_data.DotModel(), films)


def test_images_are_never_held_together(tmp_path, monkeypatch):
    toy_data.write_part(tmp_path / "train", toy_data.random_points(60, seed=1))
    toy_data.write_part(tmp_path / "test", toy_data.random_points(60, seed=2))
    alive, most, read = set(), [], image_files.read_image

    def count(path):
        image = read(path)
        alive.add(id(image))
        weakref.finalize(image, alive.discard, id(image))
        most.append(len(alive))
        return image

    monkeypatch.setattr(image_files, "read_image", count)
    monkeypatch.setattr(protocol_kinds, "FEW_STEPS", 20)
    monkeypatch.setattr(regression, "MAX_STEPS", 20)
    for protocol in ("linear", "fse_gradient"):
        measure(toy_data.DotModel(), tmp_path, protocol=protocols.PROTOCOLS[protocol])
    assert len(most) > 4 * 120 and max(most) <= 3
