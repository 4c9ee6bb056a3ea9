"""Sets of tensorflow-datasets: made here by a builder of its own, and mocked by its own mock."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tf_landmarks.data import image_files, sources
from tf_landmarks.data.sources.tfds import DATA_DIR, TfdsImages
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core

NUMBER = 12


def picture(number: int) -> np.ndarray:
    """A picture that tells its number by its red, which PNG keeps."""
    return np.full((5, 4, 3), (number, 200, 100), np.uint8)


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """Twelve pictures to train on and four to test on, of three kinds."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "number": np.int64,
            "picture": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "kind": tfds.features.ClassLabel(names=["cube", "ball", "cone"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._make(0, NUMBER), "test": self._make(100, 4)}

    def _generate_examples(self):
        raise NotImplementedError

    def _make(self, first, count):
        for number in range(first, first + count):
            yield number, {"number": number, "picture": picture(number), "kind": number % 3}


class TinyTexts(tfds.core.GeneratorBasedBuilder):
    """A set without images."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"words": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": iter([(0, {"words": "none"})])}

    def _generate_examples(self):
        raise NotImplementedError


class FarAway(TinyShapes):
    """A set whose script needs a network."""

    def _split_generators(self, dl_manager):
        raise OSError("no route to host\nand more lines")


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    return tmp_path


def reds(source: sources.Source) -> list[int]:
    return [int(source.read(index)[0, 0, 0]) for index in range(len(source))]


def test_a_set_is_made_once_and_read_by_index():
    source = sources.open_source("tfds:tiny_shapes")
    assert isinstance(source, TfdsImages) and len(source) == NUMBER
    assert source.names[:2] == ["train_000000", "train_000001"]
    assert source.sequences is None
    assert sorted(reds(source)) == list(range(NUMBER))
    assert source.read(3).shape == (5, 4, 3) and source.read(3).dtype == np.uint8
    again = sources.open_source("tfds:tiny_shapes:1.0.0:train")
    assert reds(again) == reds(source)


def test_parts_of_splits_are_rows_of_the_whole():
    whole = reds(sources.open_source("tfds:tiny_shapes"))
    assert reds(sources.open_source("tfds:tiny_shapes:train[2:5]")) == whole[2:5]
    assert reds(sources.open_source("tfds:tiny_shapes:train[75%:]")) == whole[9:]
    both = sources.open_source("tfds:tiny_shapes:train[:2]+test")
    assert reds(both)[:2] == whole[:2] and sorted(reds(both)[2:]) == [100, 101, 102, 103]


def test_array_records_are_read_alike(tmp_path):
    builder = tfds.builder("tiny_shapes", data_dir=str(tmp_path / "other"))
    builder.download_and_prepare(file_format="array_record")
    assert sorted(reds(TfdsImages(builder))) == list(range(NUMBER))


def test_classes_are_numbers_or_names():
    for words in ("1,2", "ball, cone", "ball,2"):
        source = sources.open_source("tfds:tiny_shapes", classes=words)
        assert sorted(number % 3 for number in reds(source)) == [1, 1, 1, 1, 2, 2, 2, 2]
    whole = sources.open_source("tfds:tiny_shapes")
    # A name means the same image whatever is taken beside it.
    assert all(whole.read(whole.names.index(name))[0, 0, 0] % 3 for name in source.names)
    with pytest.raises(
        UserError, match=r"has no label 'pyramid'; it has 0 to 2, called cube, ball"
    ):
        sources.open_source("tfds:tiny_shapes", classes="pyramid")
    kind = reds(sources.open_source("tfds:tiny_shapes:test[:1]"))[0] % 3
    with pytest.raises(
        UserError, match=rf"test\[:1\] holds no image of --classes={(kind + 1) % 3}"
    ):
        sources.open_source("tfds:tiny_shapes:test[:1]", classes=f"{(kind + 1) % 3}")
    with (
        tfds.testing.mock_data(),
        pytest.raises(UserError, match="celeb_a:train has none; leave it"),
    ):
        sources.open_source("tfds:celeb_a", classes="1")


def test_a_damaged_record_is_an_unreadable_image(data_dir):
    source = sources.open_source("tfds:tiny_shapes")
    (path,) = data_dir.glob("tiny_shapes/*/*-train*")
    damaged = bytearray(path.read_bytes())
    start = damaged.index(b"\x89PNG")
    damaged[start : start + 8] = b"\0" * 8
    path.write_bytes(damaged)
    with pytest.raises(image_files.UnreadableImageError):
        reds(source)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("tfds:", r"must be tfds:NAME or tfds:NAME:SPLIT"),
        ("tfds:no_such_set", r"knows no no_such_set; https"),
        ("tfds:tiny_shapes/big", r"knows no tiny_shapes/big"),
        ("tfds:tiny_shapes:valid", r"has no such split; it has .*train.*train\[:1000\]"),
        ("tfds:tiny_texts", r"is no set of images; its examples hold words"),
        (
            "tfds:far_away",
            r"(?s)could not be made there \(OSError: no route to host\).*copy far_away/1\.0\.0 .*TFDS_DATA_DIR",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_remedy(data, message):
    with pytest.raises(UserError, match=message):
        sources.open_source(data)


def test_names_of_files_are_no_business_of_a_set():
    with pytest.raises(UserError, match="has no file names for --frame_pattern"):
        sources.open_source("tfds:tiny_shapes", frame_pattern=sources.EXAMPLE_PATTERN)


def test_size_and_place_are_said_before_the_download(caplog):
    with caplog.at_level("INFO", "absl"), pytest.raises(UserError):
        sources.open_source("tfds:far_away")
    assert "downloads an unknown number of bytes to " in caplog.text
    with caplog.at_level("INFO", "absl"), tfds.testing.mock_data(num_examples=1):
        sources.open_source("tfds:mnist")
    assert "downloads up to 11 MiB to " in caplog.text


@pytest.mark.parametrize(
    ("name", "side"), [("mnist", 28), ("svhn_cropped", 32), ("celeb_a", 218), ("lsun/car", None)]
)
def test_published_sets_as_mocked_by_tensorflow_datasets(name, side):
    with tfds.testing.mock_data(num_examples=5):
        source = sources.open_source(f"tfds:{name}")
        assert len(source) == 5
        image = source.read(4)
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert side in (None, image.shape[0])


def test_views_of_a_smallnorb_object_under_one_light_are_a_sequence():
    with tfds.testing.mock_data(num_examples=30, max_value=2):
        source = sources.open_source("tfds:smallnorb")
        shared = [
            [source._examples[i][k] for k in ("label_category", "instance", "label_lighting")]
            for i in range(30)
        ]
    assert source.read(0).shape == (96, 96, 3)
    same = (np.array(shared)[:, None] == np.array(shared)).all(axis=-1)
    np.testing.assert_array_equal(source.sequences[:, None] == source.sequences, same)
    assert not same.all()
