"""Points carried from one image to another: by flows, by descriptors, on annotated pairs and on lists, and by the command."""

import json

import numpy as np
import pytest

from tests.commands import run
from tests.evaluation import colour_blobs, patches
from tf_landmarks.data import labelled, pf_pascal
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import carriers, pair_transfer, semantic_alignment
from tf_landmarks.methods import base

pytestmark = pytest.mark.core
EAGER = True

SIZE = patches.SIZE
SQUEEZED = Geometry(SIZE, keep_aspect=False)
SHIFT = np.array([8, -4])  # (x, y) pixels: two patches to the right, one up
POINTS = np.array([[9.0, 14.0], [16.0, 18.0], [20.0, 20.0]])
# What is shifted by so many pixels is found so many cells away, and these are a little wider than patches.
MISSED = np.hypot(*(SHIFT * (patches.CELL / patches.PATCH - 1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures with points, of which one is the other shifted."""
    path = tmp_path_factory.mktemp("carriers")
    image = patches.picture()
    shifted = np.roll(image, tuple(SHIFT[::-1]), axis=(0, 1))
    lines = ["file,one_x,one_y,two_x,two_y,three_x,three_y"]
    for name, picture, points in (("a", image, POINTS), ("b", shifted, POINTS + SHIFT)):
        patches.write(path / "data" / "test" / "images" / f"{name}.png", picture)
        lines.append(",".join([f"{name}.png", *map(str, points.ravel())]))
    (path / "data" / "test" / "landmarks.csv").write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def model():
    return patches.opened()


def corner(points):
    return np.asarray(points)[np.newaxis, :, ::-1] * 2.0 / (SIZE - 1) - 1.0


def test_a_flow_is_read_bilinearly_and_beyond_its_cells_as_at_them():
    flow = np.zeros((1, 2, 3, 2), np.float32)  # rows at -1, 1, columns at -1, 0, 1
    flow[0, 0, 1], flow[0, 1, 2] = (0.5, -0.5), (1.0, 0.25)
    points = np.array([[[-1, 0], [0, 0.5], [3, 3], [-1, -1]]], np.float32)
    read = carriers.read_flow(flow, points).numpy()
    mixed = 0.25 * (flow[0, 0, 1] + flow[0, 0, 2] + flow[0, 1, 1] + flow[0, 1, 2])
    np.testing.assert_allclose(read[0], [[0.5, -0.5], mixed, [1, 0.25], [0, 0]], atol=1e-6)


def test_points_of_the_second_image_are_found_in_the_first(model):
    image = patches.picture()
    shifted = np.roll(image, tuple(SHIFT[::-1]), axis=(0, 1))
    start = corner(POINTS + SHIFT)
    found = carriers.Carrier(model)([image], [shifted], start)
    moved = -SHIFT[::-1] / patches.PATCH * 2.0 / (SIZE // patches.PATCH - 1)
    np.testing.assert_allclose(found["model"], start + moved, atol=1e-5)
    np.testing.assert_allclose(found["identity"], start, atol=1e-3)
    np.testing.assert_allclose(found["untrained"], 0.0, atol=1e-6)
    assert np.abs(found["nearest"] - found["model"]).max() > 0.1  # the least alike patches


def test_the_scores_of_a_place_are_best_where_it_is_carried_to(model):
    image = patches.picture()
    shifted = np.roll(image, tuple(SHIFT[::-1]), axis=(0, 1))
    cells = np.linspace(-1, 1, 8)
    points = np.array([[cells[4], cells[3]], [cells[2], cells[6]]])
    maps = carriers.Carrier(model).score_maps(image, shifted, points)
    assert maps.shape == (SIZE, SIZE, 2)
    for k, (row, column) in enumerate(((5, 1), (3, 4))):
        best = np.unravel_index(maps[..., k].argmax(), (SIZE, SIZE))
        np.testing.assert_allclose(best, np.multiply((row, column), patches.CELL), atol=0.5)
        assert maps[best[0], best[1], k] == pytest.approx(1.0, abs=0.1)  # a cosine, near the cell


def test_errors_and_consistency_of_a_shift_are_known(folder, model):
    images = labelled.read_split(str(folder / "data" / "test"))
    pairs = pair_transfer.draw_pairs(2, 2)
    measured = pair_transfer.measure(model, carriers.Carrier(model), images, pairs, "edge")
    found = measured.to_json()
    assert found["num_pairs"] == 2 and found["num_points"] == 6
    for scores in (found["error_percent"], found["consistency_percent"]):
        assert scores["model"] == pytest.approx(100 * MISSED / SIZE, abs=0.02)
        assert scores["identity"] == pytest.approx(100 * np.hypot(*SHIFT) / SIZE, abs=0.02)
    assert found["per_landmark"]["two"]["model"] == pytest.approx(100 * MISSED / SIZE, abs=0.02)
    by_eyes = pair_transfer.measure(model, carriers.Carrier(model), images, pairs, "one,three")
    expected = 100 * MISSED / np.hypot(11, 6)
    assert by_eyes.to_json()["error_percent"]["model"] == pytest.approx(expected, abs=0.02)
    lines = measured.lines()
    assert lines[0].split() == ["error,", "%", *carriers.WAYS]
    assert [line.split()[0] for line in lines[1:6]] == ["one", "two", "three", "all", "consistency"]
    assert "mean over 6 points of 2 pairs of images, of the input's side" in lines[6]


def test_points_that_an_image_does_not_show_are_left_out(folder, model):
    images = labelled.read_split(str(folder / "data" / "test"))
    images.points[0, 1], images.points[1, 2] = np.nan, (40.0, 3.0)
    pairs = np.array([[0, 1], [1, 0]])
    errors = pair_transfer.measure(model, carriers.Carrier(model), images, pairs, "edge").errors
    np.testing.assert_array_equal(np.isfinite(errors["model"]), [[True, False, False]] * 2)


def test_pairs_are_of_different_images_each_as_often_on_either_side():
    pairs = pair_transfer.draw_pairs(5, 20, seed=1)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    for side in pairs.T:
        np.testing.assert_array_equal(np.bincount(side), [4] * 5)
    np.testing.assert_array_equal(pairs, pair_transfer.draw_pairs(5, 20, seed=1))
    assert (pairs != pair_transfer.draw_pairs(5, 20, seed=2)).any()
    assert len(pair_transfer.draw_pairs(5, 7)) == 7


def test_another_models_flow_carries_the_landmarks_of_one_that_matches_nothing(folder, model):
    spot = patches.opened(patches.RedSpot)
    assert model.has_correspondence and not spot.has_correspondence
    with pytest.raises(UserError, match=r"--model=.*matches no other place.*--flow names one"):
        carriers.Carrier(spot)
    images = labelled.read_split(str(folder / "data" / "test"))
    pairs = np.array([[0, 1]])
    carrier = carriers.Carrier(model, "flow")
    measured = pair_transfer.measure(spot, carrier, images, pairs, "edge").to_json()
    expected = pytest.approx(100 * MISSED / SIZE, abs=0.02)
    assert measured["consistency_percent"]["model"] == expected
    with pytest.raises(UserError, match="1 labelled images make no pair"):
        pair_transfer.check(images.select([0]))


def test_descriptors_carry_points_as_well():
    colours = colour_blobs.Colours(base.ModelSpec(64, 0), colour_blobs.NoOptions())
    carrier = carriers.Carrier(patches.Opened(colours, colours, Geometry(64)))
    one, two = colour_blobs.random_points(2, seed=4)
    start = two[np.newaxis, :, ::-1] * 2 / 63 - 1
    found = carrier([colour_blobs.draw(one)], [colour_blobs.draw(two)], start)
    pixels = {way: (places[0, :, ::-1] + 1) * 63 / 2 for way, places in found.items()}
    missed = {way: np.hypot(*(p - one).T).mean() for way, p in pixels.items()}
    np.testing.assert_allclose(pixels["identity"], two, atol=1e-9)
    np.testing.assert_allclose(pixels["untrained"], pixels["model"], atol=1e-4)  # it is the same
    assert missed["model"] < 1.5 < missed["identity"]
    maps = carrier.score_maps(colour_blobs.draw(one), colour_blobs.draw(two), start[0])
    for k, place in enumerate(pixels["model"]):
        best = np.unravel_index(maps[..., k].argmax(), (64, 64))[::-1]
        np.testing.assert_allclose(best, place, atol=1.5)
    # Cells of 2 pixels: their centres, and nothing between.
    np.testing.assert_allclose((pixels["nearest"] + 0.5) % 2, 1.0, atol=1e-3)


@pytest.fixture(scope="module")
def alignment(tmp_path_factory):
    """PF-PASCAL in small: one pair shifted, one pair of the same picture."""
    path = tmp_path_factory.mktemp("alignment")
    image = patches.picture((48, 64))
    images = path / "PF-dataset-PASCAL" / "JPEGImages"
    patches.write(images / "a.png", image)
    patches.write(images / "b.png", np.roll(image, 16, axis=1))
    lines = ["source_image,target_image,class,XA,YA,XB,YB"]
    of = "PF-dataset-PASCAL/JPEGImages/{}.png"
    lines.append(f"{of.format('a')},{of.format('b')},1,18;26;32,9;20;41,34;42;48,9;20;41")
    lines.append(f"{of.format('a')},{of.format('a')},2,18;26,9;20,18;26,9;20")
    (path / "image_pairs").mkdir()
    (path / "image_pairs" / "test_pairs.csv").write_text("\n".join(lines) + "\n")
    return path


def test_alignment_counts_what_is_carried_to_the_source(alignment):
    pairs = pf_pascal.read_pairs(str(alignment / "image_pairs" / "test_pairs.csv"))
    carrier = carriers.Carrier(patches.opened(geometry=SQUEEZED))
    measured = semantic_alignment.measure(carrier, pairs)
    assert measured.num_pairs == 2 and measured.num_points == 5
    for variant in ("scnet", "pf"):
        # 16 of 64 pixels are 56 of 224; the box is 32 pixels high. Cells miss the shift by 1.7 of 64 pixels.
        assert measured.percent[variant]["identity"] == 50
        assert measured.percent[variant]["model"] == 100
    lines = measured.lines()
    assert lines[1].split() == ["scnet", *(f"{v:.1f}" for v in measured.percent["scnet"].values())]
    assert lines[-1] == "5 points of 2 pairs"


def test_identity_returns_the_points_of_the_target(alignment):
    pairs = pf_pascal.read_pairs(str(alignment / "image_pairs" / "test_pairs.csv"))
    carrier = carriers.Carrier(patches.opened(geometry=SQUEEZED))
    answer = semantic_alignment._carry(carrier, pairs, slice(0, 2))
    known = np.isfinite(pairs.points_b)
    for variant, scale in (("pf", 1.0), ("scnet", 224 / np.array([64, 48]))):
        carried, truth = answer[variant]
        np.testing.assert_allclose(
            carried["identity"][known], (pairs.points_b * scale)[known], atol=1e-3
        )
        np.testing.assert_allclose(truth[known], (pairs.points_a * scale)[known])


def test_alignment_refuses_other_geometries_and_lists_without_points(alignment, model):
    path = alignment / "image_pairs" / "train_pairs.csv"
    image = "PF-dataset-PASCAL/JPEGImages/a.png"
    path.write_text(f"source_image,target_image,class,flip\n{image},{image},1,0\n")
    pairs = pf_pascal.read_pairs(str(path))
    with pytest.raises(UserError, match="--nokeep_aspect"):
        semantic_alignment.measure(carriers.Carrier(model), pairs)
    squeezed = carriers.Carrier(patches.opened(geometry=SQUEEZED))
    with pytest.raises(UserError, match="the list has no points"):
        semantic_alignment.measure(squeezed, pairs)


@pytest.mark.system
def test_the_command_measures_annotated_images_and_lists(folder, alignment, tmp_path):
    tool = "tools/transfer_points.py"
    patches.export(tmp_path / "model", geometry=SQUEEZED)
    patches.export(tmp_path / "spot", patches.RedSpot)
    flow = [f"--model={tmp_path}/spot", f"--flow={tmp_path}/model"]
    said = run(
        tool,
        *flow,
        f"--data={folder}/data",
        "--num_pairs=2",
        f"--output={tmp_path}/one",
        fresh=True,
    )
    found = json.loads((tmp_path / "one" / "transfer.json").read_text())
    assert found["consistency_percent"]["model"] == pytest.approx(100 * MISSED / SIZE, abs=0.02)
    assert "mean over 6 points of 2 pairs" in said
    pairs = f"--pairs={alignment}/image_pairs/test_pairs.csv"
    run(tool, f"--model={tmp_path}/model", pairs, f"--output={tmp_path}/two")
    found = json.loads((tmp_path / "two" / "transfer.json").read_text())
    assert found["pck_percent"]["scnet"]["model"] == 100
    both = [
        f"--model={tmp_path}/model",
        pairs,
        f"--data={folder}/data",
        f"--output={tmp_path}/three",
    ]
    said = run(tool, *both, code=2)
    assert "give --data, annotated images, or --pairs" in said
