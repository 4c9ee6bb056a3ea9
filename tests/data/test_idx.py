"""idx files: MNIST's images with their labels, read, chosen by class, and refused where damaged."""

import gzip

import numpy as np
import pytest

from tf_landmarks.data import idx, sources

pytestmark = pytest.mark.core


def write(path, values: np.ndarray) -> None:
    """Writes an idx file, compressed if its name says so."""
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(head + values.astype(np.uint8).tobytes())


@pytest.fixture
def folder(tmp_path):
    """Six training images of 4 x 5 pixels and two test images; image i is of the grey i."""
    for part, count in (("train", 6), ("t10k", 2)):
        grey = np.arange(count)[:, np.newaxis, np.newaxis] * np.ones((1, 4, 5))
        write(tmp_path / f"{part}-images-idx3-ubyte.gz", grey)
        write(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.arange(count) % 3)
    return tmp_path


def test_a_folder_is_its_training_part(folder):
    source = sources.open_source(str(folder))
    assert source.names == [f"train_{i:05d}_{i % 3}" for i in range(6)]
    image = source.read(4)
    assert image.shape == (4, 5, 3) and image.dtype == np.uint8 and (image == 4).all()


def test_a_file_is_its_own_part(folder):
    source = sources.open_source(str(folder / "t10k-images-idx3-ubyte.gz"))
    assert source.names == ["t10k_00000_0", "t10k_00001_1"]


def test_without_preference_all_parts_are_read(folder):
    assert len(sources.open_source(str(folder), prefer_train=False)) == 8


def test_classes_are_chosen_by_label(folder):
    source = sources.open_source(str(folder), classes="0,2")
    assert [name[-1] for name in source.names] == ["0", "2", "0", "2"]
    assert (source.read(1) == 2).all()


def test_files_need_no_compression_and_no_labels(tmp_path):
    write(tmp_path / "train-images-idx3-ubyte", np.full((1, 2, 2), 7))
    source = sources.open_source(str(tmp_path))
    assert source.names == ["train_00000"] and (source.read(0) == 7).all()
    with pytest.raises(ValueError, match="--classes=1 needs labels"):
        sources.open_source(str(tmp_path), classes="1")


@pytest.mark.parametrize(
    ("classes", "words"),
    [("7", "no image of --classes=7"), ("a", "--classes=a must be whole numbers")],
)
def test_classes_that_choose_nothing_are_refused(folder, classes, words):
    with pytest.raises(ValueError, match=words):
        sources.open_source(str(folder), classes=classes)


def test_classes_of_other_data_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is for idx files"):
        sources.open_source("made_faces", classes="3")


@pytest.mark.parametrize("damage", ["cut", "no head", "not compressed"])
def test_a_damaged_file_is_named(folder, damage):
    path = folder / "train-images-idx3-ubyte.gz"
    data = gzip.decompress(path.read_bytes())
    damaged = {
        "cut": gzip.compress(data[:-3]),
        "no head": gzip.compress(b"abc"),
        "not compressed": data,
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz .*fetch it again"):
        sources.open_source(str(folder))


def test_mnist_itself_is_read(photographs):
    images = idx.read(str(photographs / "mnist" / "t10k-images-idx3-ubyte.gz"))
    assert images.shape == (10000, 28, 28) and images.max() == 255
    threes = sources.open_source(str(photographs / "mnist"), classes="3")
    assert len(threes) == 6131
