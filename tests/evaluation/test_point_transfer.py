"""Points of references found elsewhere: where they are, and whether the two ways agree."""

import csv
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation import colour_blobs
from tf_landmarks.data import sources, videos
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import point_transfer, transfer_scores
from tf_landmarks.evaluation.point_transfer import PointTransfer
from tf_landmarks.evaluation.references import References
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.inference.image_batches import BATCH
from tf_landmarks.methods import base

pytestmark = pytest.mark.core
EAGER = True

POINTS = colour_blobs.random_points(8, seed=1)
CLOSE = 0.1  # pixels, a twentieth of a cell of the finer level


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ExportedModel:
    return ExportedModel(colour_blobs.export(tmp_path_factory.mktemp("plain"), Geometry(64)))


def references(rows=(0,), points=POINTS, names=colour_blobs.NAMES) -> References:
    images = [colour_blobs.draw(points[row]) for row in rows]
    return References([f"b{row}.png" for row in rows], images, list(names), points[list(rows)])


def test_points_are_found_to_a_fraction_of_a_cell(model):
    transfer = PointTransfer(model, references())
    found = transfer([colour_blobs.draw(points) for points in POINTS])
    for truth, (points, similarity, agreement, share, *_) in zip(POINTS, found, strict=True):
        np.testing.assert_allclose(points, truth, atol=CLOSE)
        assert similarity.min() > 0.99 and agreement.max() < CLOSE
        np.testing.assert_allclose(share, agreement / np.ptp(POINTS[0], axis=0).max())


def test_other_sizes_are_answered_in_their_own_pixels(model):
    sizes = [(64, 64), (96, 128), (64, 64), (150, 130)]
    images, truth = [], []
    for size, points in zip(sizes, POINTS, strict=False):
        zoom = max(size) / 64  # and what is missing to a square is added on both sides
        truth.append((points + 0.5) * zoom - 0.5 - (max(size) - np.array(size[::-1])) // 2)
        images.append(colour_blobs.draw(truth[-1], size, zoom=zoom))
    for size, points, answer in zip(
        sizes, truth, PointTransfer(model, references())(images), strict=True
    ):
        np.testing.assert_allclose(answer[0], points, atol=CLOSE * max(size) / 64)


def test_references_are_turned_to_see_whether_descriptors_turn_with_them(model, tmp_path):
    points = POINTS[:1] + np.array([12, 0])  # moved along x
    wide = References(["w.png"], [colour_blobs.draw(points[0], (64, 88))], ["r", "g", "b"], points)
    assert [PointTransfer(model, wide).turned(quarters) for quarters in (1, 2, 3)] == [1, 1, 1]
    assert "turned by 90, 180 and 270 degrees, of their own points 100, 100, 100 % are found within 10 %" in (
        line := transfer_scores.turned_line(PointTransfer(model, references((0, 1))))
    ) and "wrong" not in line  # fmt: skip

    places = ExportedModel(colour_blobs.export(tmp_path, Geometry(64), colour_blobs.Places))
    corner = np.array([[[10.0, 12], [15, 20], [31.5, 31.5]]])  # the middle stays where it is
    transfer = PointTransfer(places, references(points=corner))
    assert [transfer.turned(quarters) for quarters in (0, 1, 2)] == [1, 1 / 3, 1 / 3]
    line = transfer_scores.turned_line(transfer)
    assert "of their own points 33, 33, 33 %" in line and "matches are wrong" in line


class Patches(colour_blobs.Colours):
    """What is seen in 14 x 14 pixels: of an object that is turned, something else."""

    def represent(self, images, training=False):
        cells = tf.nn.avg_pool2d(images, 2, 2, "VALID") - 0.5
        return base.Features(
            {"fine": tf.image.extract_patches(cells, [1, 7, 7, 1], [1] * 4, [1] * 4, "SAME")}
        )


def test_an_object_that_lies_otherwise_is_found_by_references_that_are_turned(tmp_path):
    model = ExportedModel(colour_blobs.export(tmp_path, Geometry(64), Patches))
    coarse = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    texture = np.rint(255 * tf.image.resize(coarse, (64, 64)).numpy()).astype(np.uint8)
    middle = np.array([[[24.0, 24], [40, 26], [30, 42]]])
    known = References(["a.png"], [texture], colour_blobs.NAMES, middle)
    pictures = [np.rot90(known.images[0], quarters).copy() for quarters in range(4)]
    truth = [middle[0]]
    for _ in range(3):
        truth.append(np.stack([truth[-1][:, 1], 63 - truth[-1][:, 0]], axis=-1))
    found = PointTransfer(model, known, turns=4)(pictures)
    for quarters, (points, _, agreement, _, ratio, degrees) in enumerate(found):
        np.testing.assert_allclose(points, truth[quarters], atol=2.0)  # a cell
        assert degrees == 90 * quarters and agreement.max() < 2.5 and ratio.max() < 0.5
    assert [PointTransfer(model, known, turns=4).turned(q) for q in (1, 2, 3)] == [1, 1, 1]
    as_they_lie = PointTransfer(model, known)
    assert as_they_lie.turned(2) < 1
    points, *_, degrees = as_they_lie(pictures[2:3])[0]
    assert np.hypot(*(points - truth[2]).T).max() > 4 and degrees == 0
    assert "--turns=12 looks for it in twelve directions" in transfer_scores.turned_line(
        as_they_lie
    )


def test_a_point_that_no_turned_reference_shows_has_no_way_back(model):
    points = np.array([[[2.0, 30], [60, 30], [32, 31]]])
    narrow = colour_blobs.draw(points[0])[8:48]
    known = References(["a.png"], [narrow], colour_blobs.NAMES, points - [0, 8])
    transfer = PointTransfer(model, known, turns=4)
    transfer._looks = transfer._looks[1:2]  # upright, its first and second points are outside
    found = transfer([narrow])[0]
    assert np.isinf(found[2][:2]).all() and np.isfinite(found[2][2]) and found[4][:2].min() == 1


def test_what_the_network_does_not_see_is_not_taken(tmp_path):
    model = ExportedModel(colour_blobs.export(tmp_path, Geometry(48, crop_fraction=0.75)))
    points = np.array([[[20.0, 20], [44, 22], [24, 44]], [[42, 40], [20, 24], [42, 20]]])
    found = PointTransfer(model, references(points=points))([colour_blobs.draw(points[1])])
    np.testing.assert_allclose(found[0][0], points[1], atol=CLOSE)
    points[0, 1] = 3, 3
    with pytest.raises(UserError, match=r"point green lies in the border .*crop_fraction=0\.75"):
        PointTransfer(model, references(points=points))


def test_padding_is_no_place(model):
    """Edges are continued in what makes an image a square: there, a red lower edge is nothing but red."""
    points = np.array([[[20.0, 20], [44, 20], [44, 44]]])
    image = colour_blobs.draw([[np.nan, 0]] * 3)[:40]
    image[-2:] = np.rint(255 * (colour_blobs.GREY + colour_blobs.COLOURS[0]))
    found = PointTransfer(model, references(points=points))([image])[0]
    assert 37 <= found[0][0, 1] <= 39.5


def test_a_wrong_match_is_known_by_its_way_back(model):
    """The red blob is hidden, and an orange one, which the reference shows elsewhere, looks most like it."""
    colours = np.vstack([colour_blobs.COLOURS, [0.27, 0.22, 0.0]])
    places = np.array([[12.0, 12.0], [50, 14], [14, 50], [48, 48]])
    image = colour_blobs.draw(places, colours=colours)
    known = References(["a.png"], [image], colour_blobs.NAMES, places[np.newaxis, :3])
    hidden = places[[2, 0, 1, 3]] + [0, 2]
    hidden[0] = np.nan
    transfer = PointTransfer(model, known)
    (points, _, agreement, share, *_), (_, _, good, *_) = transfer(
        [colour_blobs.draw(hidden, colours=colours), image]
    )
    # Somewhere in the orange one, from where the way back ends in the orange one of the reference.
    off = points[0] - hidden[3]
    assert np.hypot(*off) < colour_blobs.RADIUS
    assert agreement[0] == pytest.approx(np.hypot(*(places[3] + off - places[0])), abs=1.5)
    np.testing.assert_allclose(share * 38, agreement)  # what the three points span
    np.testing.assert_array_equal(share <= transfer.tolerance, [False, True, True])
    assert good.max() < CLOSE


def test_a_second_place_that_does_as_well_is_known_by_the_ratio(model):
    """Two red blobs: whichever is taken, its way back ends in the red one of the reference."""
    places = np.array([[12.0, 12.0], [50, 14], [14, 50], [48, 48]])
    image = colour_blobs.draw(places, colours=[*colour_blobs.COLOURS, colour_blobs.COLOURS[0]])
    found = []
    for most_ratio in (0.8, 1.0):
        transfer = PointTransfer(model, references(), most_ratio=most_ratio)
        source = Many(1)
        source.read = lambda index: image
        found += point_transfer.find(transfer, source)
    for one in found:
        assert one.agrees.all()
        assert one.ratio[0] > 0.95 and one.ratio[1:].max() < 0.3
    np.testing.assert_array_equal([one.is_sure for one in found], [[0, 1, 1], [1, 1, 1]])


def test_several_references_know_points_that_one_does_not_show(model):
    points = POINTS.copy()
    points[0, 2], points[1, 0] = np.nan, np.nan
    transfer = PointTransfer(model, references([0, 1, 2], points))
    found = transfer([colour_blobs.draw(POINTS[5])])[0]
    np.testing.assert_allclose(found[0], POINTS[5], atol=CLOSE)
    assert np.isfinite(found[2]).all() and found[2].max() < CLOSE


def test_in_parts_the_answers_are_the_same(model, monkeypatch):
    images = [colour_blobs.draw(points) for points in POINTS]
    whole = PointTransfer(model, references())(images)
    monkeypatch.setattr(point_transfer, "_MAP_VALUES", 3 * 3 * 64**2)
    parts = PointTransfer(model, references())(images)
    for one, other in zip(whole, parts, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)


class Many(sources.Source):
    """Pictures made when they are asked for, which counts those still held; one cannot be read."""

    of_videos = False

    def __init__(self, count: int):
        self.names, self.root = [f"b{i}.png" for i in range(count)], "nowhere"
        self.alive = self.most = 0

    def read(self, index):
        image = colour_blobs.draw(POINTS[index % len(POINTS)])
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(image, self._drop)
        return image

    def _drop(self):
        self.alive -= 1


def test_a_long_source_is_never_held_together(model):
    source = Many(4 * BATCH)
    count = sum(
        found.is_read for found in point_transfer.find(PointTransfer(model, references()), source)
    )
    assert count == 4 * BATCH and source.most <= 2 * BATCH


def test_a_model_of_landmarks_is_refused_with_the_remedy(model, monkeypatch):
    monkeypatch.setattr(ExportedModel, "yields", "landmarks")
    with pytest.raises(
        UserError, match=r"--model=.* finds landmarks of its own .* tf_landmarks\.predict"
    ):
        PointTransfer(model, references())


def test_all_images_get_a_row_and_a_picture(model, tmp_path):
    paths = colour_blobs.write_part(tmp_path / "in", POINTS[:3])
    (tmp_path / "in" / "images" / "b1.png").write_bytes(b"no image")
    source = sources.open_source(str(tmp_path / "in" / "images"))
    heard = []
    counts = point_transfer.transfer_all(
        PointTransfer(model, references()), source, str(tmp_path / "out"), [heard.append]
    )
    assert counts == (2, 1) and len(heard) == 3 and len(paths) == 3
    with open(tmp_path / "out" / "matches.csv", newline="") as file:
        first, bad, last = csv.DictReader(file)
    assert float(first["red_x"]) == pytest.approx(POINTS[0, 0, 0], abs=CLOSE)
    assert float(last["blue_y"]) == pytest.approx(POINTS[2, 2, 1], abs=CLOSE)
    assert float(last["blue_similarity"]) > 0.99 and float(last["blue_agreement"]) < CLOSE
    assert last["blue_agrees"] == "1" and last["error"] == "" and last["turned"] == "0"
    assert 0 <= float(last["blue_ratio"]) < 0.3
    assert bad["file"] == "b1.png" and bad["red_x"] == "" and bad["error"]
    pictures = {path.name for path in (tmp_path / "out" / "overlays").iterdir()}
    assert pictures >= {"b0.png.png", "b2.png.png"} and "b1.png.png" not in pictures


def test_nothing_that_can_be_read_is_an_error(model, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    source = sources.open_source(str(tmp_path / "a.png"))
    with pytest.raises(UserError, match=r"none of the 1 images could be read; a\.png: "):
        point_transfer.transfer_all(PointTransfer(model, references()), source, str(tmp_path / "o"))


def test_a_video_gives_a_video_and_numbers_its_frames(model, tmp_path):
    from tests.data import video_files

    film = tmp_path / "walk.mp4"
    video_files.encode(film, count=5)
    point_transfer.transfer_all(
        PointTransfer(model, references()), sources.open_source(str(film)), str(tmp_path / "out")
    )
    with open(tmp_path / "out" / "matches.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == list("01234")
    assert len(videos.Video(str(tmp_path / "out" / "overlays" / "walk.mp4"))) == 5


# --- What is said of all of them ----------------------------------------------------------------


def known_errors(folder, model, normalizer="edge", rows=(0,)):
    paths = [str(folder / "images" / f"b{row}.png") for row in rows]
    known = References(
        paths,
        [colour_blobs.draw(POINTS[row]) for row in rows],
        colour_blobs.NAMES,
        POINTS[list(rows)],
    )
    source = sources.open_source(str(folder))
    return known, source, transfer_scores.KnownErrors(source, known, model.geometry, normalizer)


def told(name: str, points):
    from tf_landmarks.inference.rows import PredictionRow

    row = PredictionRow(name, None, np.zeros((64, 64, 3), np.uint8), "", points, np.ones(3))
    return point_transfer.Found(row, np.zeros(3), np.zeros(3), np.ones(3, bool), np.zeros(3))


def test_errors_are_those_of_images_that_are_no_references(model, tmp_path):
    colour_blobs.write_part(tmp_path, POINTS[:3])
    _, _, errors = known_errors(tmp_path, model)
    errors.add(told("images/b0.png", POINTS[0] + 30))  # the reference itself
    errors.add(told("images/b1.png", np.round(POINTS[1], 3) + np.array([[3, 4], [0, 0], [0, 1]])))
    errors.add(told("images/unknown.png", POINTS[1]))
    (line,) = errors.lines()
    # 5, 0 and 1 pixels of 64: median 1, mean 2.
    assert "of 1 images" in line
    assert "median error 1.00 px (1.56 % of the image's side), mean 2.00 px (3.12 %)" in line


def test_a_normalizer_is_two_points_and_checked_at_once(model, tmp_path):
    colour_blobs.write_part(tmp_path, POINTS[:3])
    _, _, errors = known_errors(tmp_path, model, "red,blue")
    errors.add(told("images/b1.png", POINTS[1] + [3, 4]))
    length = np.linalg.norm(POINTS[1, 0] - POINTS[1, 2])
    assert f"5.00 px ({500 / length:.2f} % of red,blue)" in errors.lines()[0]
    with pytest.raises(
        UserError, match="--normalizer=red,ear must be edge, box, or two of the landmarks"
    ):
        known_errors(tmp_path, model, "red,ear")


def test_without_annotations_there_are_no_errors(model, tmp_path):
    colour_blobs.write_part(tmp_path, POINTS[:2])
    (tmp_path / "landmarks.csv").unlink()
    _, _, errors = known_errors(tmp_path, model)
    errors.add(told("images/b1.png", POINTS[1]))
    assert errors.lines() == []


def test_certainty_is_told_of_each_point():
    certainty = transfer_scores.Certainty(["nose", "tail"], 0.1)
    for number in range(4):
        found = told("a.png", POINTS[0, :2])
        row = found.row._replace(confidence=np.array([0.9, 0.1 * number]))
        certainty.add(
            found._replace(
                row=row,
                agreement=np.array([1.0, number]),
                agrees=np.array([True, number < 1]),
                ratio=np.array([0.5, 0.1 * number]),
            )
        )
    first, nose, tail = certainty.lines()
    assert "of 8 points, in 62.5 %" in first
    assert nose == "  nose  100.0 % agree, median 1.00 px, similarity 0.900, ratio 0.50"
    assert tail == "  tail   25.0 % agree, median 1.50 px, similarity 0.150, ratio 0.15"
