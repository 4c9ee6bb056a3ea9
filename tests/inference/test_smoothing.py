"""Landmarks over the frames of videos, smoothed."""

import csv
import json

import numpy as np
import pytest
from scipy import ndimage, signal

from tests.inference.models import CornerModel, SureModel
from tf_landmarks.errors import UserError
from tf_landmarks.inference import batch
from tf_landmarks.inference.rows import PredictionRow
from tf_landmarks.inference.smoothing import Filter

pytestmark = pytest.mark.core


def rows_of(file: str, xs, first: int | None = 0) -> list[PredictionRow]:
    """Rows of a video, or of images, with one landmark on a line; NaN for what could not be read."""
    rows = []
    for number, x in enumerate(xs):
        row = PredictionRow(file, None if first is None else first + number)
        if np.isfinite(x):
            points = np.array([[x, 2 * x]], np.float32)
            row = row._replace(landmarks=points, confidence=np.array([0.5], np.float32))
        rows.append(row)
    return rows


def smoothed(words: str, rows: list[PredictionRow]) -> list[float]:
    """The x of each row, NaN where there is none; y must be twice as large."""
    found = list(Filter.parse(words)(iter(rows)))
    assert [row[:4] for row in found] == [row[:4] for row in rows]
    points = [np.full((1, 2), np.nan) if r.landmarks is None else r.landmarks for r in found]
    points = np.concatenate(points)
    np.testing.assert_allclose(points[:, 1], 2 * points[:, 0], rtol=1e-5)
    return points[:, 0].tolist()


WALK = np.random.default_rng(0).normal(size=40).cumsum().astype(np.float32)


def test_a_median_is_scipy_s_and_takes_out_a_jump():
    walk = WALK.copy()
    walk[20] += 100
    found = smoothed("median:5", rows_of("a.mp4", walk))
    np.testing.assert_allclose(found[2:-2], ndimage.median_filter(walk, 5)[2:-2], rtol=1e-6)
    assert abs(found[20] - WALK[20]) < 3


def test_savgol_is_scipy_s_and_leaves_a_parabola_as_it_is():
    found = smoothed("savgol:9", rows_of("a.mp4", WALK))
    np.testing.assert_allclose(found[4:-4], signal.savgol_filter(WALK, 9, 2)[4:-4], atol=1e-5)
    parabola = np.arange(20.0) ** 2
    np.testing.assert_allclose(
        smoothed("savgol:7", rows_of("a.mp4", parabola)), parabola, atol=1e-3
    )


@pytest.mark.parametrize("words", ["median:3", "median:7", "savgol:5", "savgol:11"])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_what_moves_steadily_stays_where_it_is_at_the_ends_too(words, count):
    found = smoothed(words, rows_of("a.mp4", np.arange(count)))
    np.testing.assert_allclose(found, np.arange(count), atol=1e-5)


def test_videos_and_gaps_are_not_smoothed_across():
    low, high = np.zeros(4), np.full(4, 50.0)
    rows = rows_of("a.mp4", low) + rows_of("b.mp4", [*high, np.nan, *low])
    assert smoothed("median:5", rows) == pytest.approx([*low, *high, np.nan, *low], nan_ok=True)


def test_images_and_what_is_not_asked_for_stay_as_they_are():
    jumps = [0.0, 90.0, 0.0, 0.0]
    assert smoothed("", rows_of("a.mp4", jumps)) == jumps
    assert smoothed("median:3", rows_of("a.png", jumps, first=None)) == jumps


def test_pictures_are_held_no_longer_than_they_are_looked_at():
    taken = []
    rows = (taken.append(row) or row for row in rows_of("a.mp4", WALK))
    next(iter(Filter.parse("median:5")(rows)))
    assert len(taken) == 3


@pytest.mark.parametrize("words", ["median", "median:4", "median:1", "savgol:3", "mean:5", ":5"])
def test_other_words_are_refused(words):
    with pytest.raises(UserError, match=f"--smooth={words} must be median:WINDOW or savgol"):
        Filter.parse(words)


def test_images_are_not_smoothed(folder):
    with pytest.raises(UserError, match="--smooth=median:5 goes over the frames of videos"):
        batch.predict_folder(
            CornerModel(), str(folder / "in"), str(folder / "out"), ["csv"],
            smooth=Filter.parse("median:5"),
        )  # fmt: skip
    assert not (folder / "out").exists()


class JumpingModel(SureModel):
    """Finds the landmarks far away in frame 7, whose pixels have the value of 35."""

    def predict(self, images):
        found = super().predict(images)
        jumps = [abs(float(image.mean()) - 35) < 2 for image in images]
        return found._replace(landmarks=found.landmarks + 10 * np.float32(jumps)[:, None, None])


def test_files_hold_smoothed_landmarks_and_say_so(films):
    output = films / "out"
    formats = ["csv", "tidy", "json", "coco", "dlc", "parquet"]
    for words in ("", "median:3"):
        batch.predict_folder(
            JumpingModel(), str(films / "in"), str(output / (words or "as_found")), formats,
            smooth=Filter.parse(words),
        )  # fmt: skip
    jumped = {}
    for words in ("as_found", "median:3"):
        with open(output / words / "landmarks.csv", newline="") as file:
            table = list(csv.DictReader(file))
        jumped[words] = [float(row["1_x"]) for row in table[6:9]]
        assert {row.get("smoothing") for row in table} == {None if words == "as_found" else words}
    assert jumped == {"as_found": [29, 39, 29], "median:3": [29, 29, 29]}
    rows = json.loads((output / "median:3" / "landmarks.json").read_text())
    assert rows[7]["landmarks"][1] == [29, 19] and rows[7]["smoothing"] == "median:3"
    coco = json.loads((output / "median:3" / "coco.json").read_text())
    assert coco["info"] == {"smoothing": "median:3"}
    header = (output / "median:3" / "dlc" / "aDLC_tf_landmarks.csv").read_text().splitlines()[0]
    assert set(header.split(",")) == {"scorer", "tf_landmarks_median_3"}
    parquet = pytest.importorskip("pyarrow.parquet")
    schema = parquet.read_schema(output / "median:3" / "tidy.parquet")
    assert schema.metadata[b"smoothing"] == b"median:3"
    assert (output / "median:3" / "tidy.csv").read_text().splitlines()[0].endswith(",smoothing")
