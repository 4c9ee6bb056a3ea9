"""Files for other programs, read back by the libraries that these programs read them with."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.inference.models import CornerModel, SureModel
from tf_landmarks import extras
from tf_landmarks.data import annotations
from tf_landmarks.errors import UserError
from tf_landmarks.inference import batch, smoothing, writers

pytestmark = pytest.mark.core

pandas = pytest.importorskip("pandas", reason="has no release for this Python")
sleap_io = pytest.importorskip("sleap_io", reason="has no release for this Python")


class NamedModel(SureModel):
    """Its landmarks have the names of people."""

    landmark_names = ("nose", "tail")


def predict(folder, *formats: str, **options) -> tuple[int, int]:
    """Predicts what lies in `in`, to `out`."""
    return batch.predict_folder(
        NamedModel(), str(folder / "in"), str(folder / "out"), formats, **options
    )


def test_deeplabcut_s_h5_of_a_video_says_what_its_csv_says(films):
    predict(films, "dlc", "dlc_h5", frames="1::2")
    tables = films / "out" / "dlc"
    read = pandas.read_hdf(tables / "aDLC_tf_landmarks.h5", "df_with_missing")
    assert read.columns.names == ["scorer", "bodyparts", "coords"]
    assert read.index.tolist() == list(range(1, 40, 2))
    nose = read["tf_landmarks"]["tail"]
    assert nose.iloc[3].tolist() == pytest.approx([29, 19, 0.9])
    csv = pandas.read_csv(tables / "aDLC_tf_landmarks.csv", header=[0, 1, 2], index_col=0)
    np.testing.assert_array_equal(read.to_numpy(), csv.to_numpy())
    assert [*map(tuple, read.columns)] == [*map(tuple, csv.columns)]
    known = annotations.read_annotations(tables / "below" / "cDLC_tf_landmarks.h5")
    assert known.frames.tolist() == [1, 3] and known.names == ["nose", "tail"]
    assert not (tables / "b.h5").exists() and not list(tables.rglob("*.part"))


def test_deeplabcut_s_h5_of_images_has_their_names_and_blanks(folder):
    predict(folder, "dlc_h5")
    read = pandas.read_hdf(folder / "out" / "dlc" / "landmarks.h5")
    assert read.index.tolist() == ["a.png", "b.jpg", "below/c.png"]
    assert np.isnan(read.to_numpy()[1]).all() and read.iloc[2, 3:].tolist() == [7, 11, 0.3]


def test_a_sleap_project_names_the_videos_and_has_every_frame(films):
    predict(films, "slp")
    labels = sleap_io.load_slp(str(films / "out" / "landmarks.slp"), open_videos=False)
    assert [video.filename for video in labels.videos] == [
        str(films / "in" / name) for name in ("a.avi", "below/c.avi")
    ]
    assert labels.skeleton.node_names == ["nose", "tail"]
    assert len(labels) == 45
    frame = labels.find(labels.videos[1], 3)[0]
    (instance,) = frame.instances
    assert isinstance(instance, sleap_io.PredictedInstance)
    np.testing.assert_allclose(instance.numpy(), [[0, 0], [15, 23]])
    np.testing.assert_allclose(instance.points["score"], [0.9, 0.9], rtol=1e-6)


def test_a_sleap_project_of_images_lists_them_and_leaves_the_broken_one_blank(folder):
    predict(folder, "slp")
    labels = sleap_io.load_slp(str(folder / "out" / "landmarks.slp"), open_videos=False)
    (video,) = labels.videos
    assert video.filename == [str(folder / "in" / n) for n in ("a.png", "b.jpg", "below/c.png")]
    assert [frame.frame_idx for frame in labels] == [0, 2]
    np.testing.assert_allclose(labels[1].instances[0].numpy(), [[0, 0], [7, 11]])


def test_sleap_s_analysis_has_an_array_for_each_video(films):
    predict(films, "sleap_h5")
    path = films / "out" / "sleap" / "a.analysis.h5"
    labels = sleap_io.load_analysis_h5(str(path))
    assert labels.skeleton.node_names == ["nose", "tail"]
    points = labels.numpy()
    assert points.shape == (40, 1, 2, 2)
    np.testing.assert_allclose(points[7, 0], [[0, 0], [29, 19]])
    assert (films / "out" / "sleap" / "below" / "c.analysis.h5").exists()


def test_sleap_s_project_says_how_its_landmarks_were_smoothed(films):
    predict(films, "slp", smooth=smoothing.Filter.parse("savgol:5"))
    labels = sleap_io.load_slp(str(films / "out" / "landmarks.slp"), open_videos=False)
    assert labels.provenance["smoothing"] == "savgol:5"


def test_sleap_s_analysis_is_of_videos(folder):
    with pytest.raises(UserError, match="--format=sleap_h5 has the frames of videos"):
        predict(folder, "sleap_h5")


def test_parquet_has_numbers_and_nulls(films, monkeypatch):
    monkeypatch.setattr(writers, "_PARQUET_ROWS", 16)  # several groups of rows
    predict(films, "tidy", "parquet")
    read = pandas.read_parquet(films / "out" / "tidy.parquet")
    tidy = pandas.read_csv(films / "out" / "tidy.csv")
    assert list(read.columns) == list(tidy.columns) and len(read) == len(tidy) == 2 * 46
    assert read.file.tolist() == tidy.file.tolist()
    np.testing.assert_allclose(read[["x", "y"]], tidy[["x", "y"]])
    broken = read[read.file == "b.mp4"]
    assert broken.x.isna().all() and broken.frame.isna().all()
    assert broken.error.str.startswith("cannot be opened").all()
    assert read.error.isna().sum() == 2 * 45


@pytest.mark.parametrize(
    ("name", "needs"),
    [("dlc_h5", "pandas and tables"), ("slp", "sleap-io"), ("sleap_h5", "sleap-io")],
)
def test_a_package_that_is_missing_is_named_before_anything_is_read(
    folder, monkeypatch, name, needs
):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"--format={name} needs {needs}, .*'.\[formats\]'"):
        batch.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), [name])
    assert not (folder / "out").exists()


def test_packages_that_several_formats_lack_are_named_at_once(folder, monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    message = "--format=dlc_h5,slp needs pandas and tables and sleap-io, not installed here"
    with pytest.raises(UserError, match=message):
        predict(folder, "csv", "dlc_h5", "slp")


def test_names_of_any_bytes_are_in_every_file(tmp_path):
    name = os.fsdecode(b"m\xfcller")
    (tmp_path / "in").mkdir()
    Image.new("RGB", (30, 20), "red").save(tmp_path / "in" / f"{name}.png")
    predict(tmp_path, *(set(writers.FORMATS) - {"traces", "sleap_h5"}))
    read = pandas.read_parquet(tmp_path / "out" / "tidy.parquet")
    assert set(read.file) == {r"m\xfcller.png"}
    read = pandas.read_hdf(tmp_path / "out" / "dlc" / "landmarks.h5")
    assert read.index.tolist() == [r"m\xfcller.png"]
    assert not list((tmp_path / "out").rglob("*.part"))


def test_videos_of_names_of_any_bytes_are_in_every_file(films):
    os.rename(films / "in" / "a.avi", films / "in" / os.fsdecode(b"m\xfcller.avi"))
    predict(films, *writers.FORMATS)
    written = {str(path.relative_to(films / "out")) for path in (films / "out").rglob("*.h5")}
    assert {r"dlc/m\xfcllerDLC_tf_landmarks.h5", r"sleap/m\xfcller.analysis.h5"} <= written
    assert not list((films / "out").rglob("*.part"))
