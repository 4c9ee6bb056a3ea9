"""TFRecord shards: what is written is read again, by index; what is damaged is said."""

import io
import json
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import commands
from tests.training.test_input_pipeline import Plain, take
from tf_landmarks.data import image_files, sources, tfrecords
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.training.input_pipeline import ImageSet

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.core


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (20 + number, 30, 3), np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(path, numbers, places=None) -> str:
    writer = tfrecords.ShardWriter(str(path))
    for row, number in enumerate(numbers):
        writer.write(f"{number}.png", png(picture(number)), *(places[row] if places else ()))
    writer.close()
    return str(path)


def test_images_are_read_by_index_across_shards(tmp_path):
    write_shard(tmp_path / "a-0.tfrecord", [3, 1])
    write_shard(tmp_path / "a-1.tfrecord", [2])
    source = sources.open_source(f"tfrecord:{tmp_path}/a-*.tfrecord")
    assert source.names == ["3.png", "1.png", "2.png"] and source.sequences is None
    for index in (2, 0, 1, 0):
        number = int(source.names[index][0])
        np.testing.assert_array_equal(source.read(index), picture(number))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("a-0.tfrecord", "a-0.tfrecord.index.npz", "a-1.tfrecord", "a-1.tfrecord.index.npz")
    ]


def test_a_shard_is_what_tensorflow_reads_as_one(tmp_path):
    path = write_shard(tmp_path / "a.tfrecord", [4, 5])
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
    }
    # Its reader checks the file format's own checksums.
    read = [tf.io.parse_single_example(r, features) for r in tf.data.TFRecordDataset(path)]
    assert [r["image/filename"].numpy() for r in read] == [b"4.png", b"5.png"]
    np.testing.assert_array_equal(tf.io.decode_png(read[1]["image/encoded"]), picture(5))


def test_a_shard_of_others_is_scanned(tmp_path):
    path = tmp_path / "other.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(3):
            value = tf.train.BytesList(value=[png(picture(number))])
            features = {"image/encoded": tf.train.Feature(bytes_list=value)}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    source = sources.open_source(f"tfrecord:{path}")
    assert source.names == [f"other.tfrecord#{number:06d}" for number in range(3)]
    np.testing.assert_array_equal(source.read(2), picture(2))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"is no TFRecord file, or cut short at byte \d+"):
        sources.open_source(f"tfrecord:{path}")


def test_frames_of_videos_keep_their_places(tmp_path):
    places = [(0, 7), (0, 8), (1, 2)]
    write_shard(tmp_path / "v.tfrecord", [0, 1, 2], places)
    source = sources.open_source(f"tfrecord:{tmp_path}/v.tfrecord")
    assert list(zip(source.sequences, source.frame_numbers, strict=True)) == places


def test_a_changed_byte_is_found_and_the_record_alone_is_lost(tmp_path):
    path = pathlib.Path(write_shard(tmp_path / "a.tfrecord", [0, 1]))
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)
    source = sources.open_source(f"tfrecord:{path}")
    with pytest.raises(image_files.UnreadableImageError, match="its checksum does not fit"):
        source.read(0)
    np.testing.assert_array_equal(source.read(1), picture(1))


def test_a_shard_cut_short_is_refused_and_so_is_a_pattern_without_files(tmp_path):
    path = pathlib.Path(write_shard(tmp_path / "a.tfrecord", [0, 1]))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"bytes, and its index says \d+: one of the two is cut"):
        sources.open_source(f"tfrecord:{path}")
    with pytest.raises(
        ValueError, match=r"--data=tfrecord:none-\*\.tfrecord matches no file; write"
    ):
        sources.open_source("tfrecord:none-*.tfrecord")


def test_batches_of_records_are_those_of_the_files(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(png(picture(number)))
    for shard in range(2):
        write_shard(tmp_path / f"s-{shard}.tfrecord", range(3 * shard, 3 * shard + 3))
    batches = []
    for data in (str(folder), f"tfrecord:{tmp_path}/s-*.tfrecord"):
        source = sources.open_source(data)
        frames = ImageSet(source, np.arange(6), Geometry(16), BadFiles(6, 0.0), 0.0)
        batches.append(take(frames, Plain(), 4, seed=1, step=2, count=3))
    for one, other in zip(*batches, strict=True):
        np.testing.assert_array_equal(one["images"], other["images"])


def prepare(tmp_path, *arguments, fresh: bool = False) -> subprocess.CompletedProcess:
    return commands.finished(
        "tools/prepare_data.py", f"--data={tmp_path / 'images'}", f"--output={tmp_path / 'out' / 'mine'}",
        "--shards=2", *arguments, fresh=fresh,
    )  # fmt: skip


@pytest.mark.system
def test_the_tool_writes_goes_on_where_it_stopped_and_refuses_another_plan(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(png(picture(number)))
    (folder / "bad.png").write_bytes(b"no image")
    done = prepare(tmp_path, "--max_bad_fraction=0.2")
    assert done.returncode == 0, done.stderr
    assert "4 images in 2 shards; train with --data='tfrecord:" in done.stdout
    assert "skipped bad.png" in done.stdout
    first, second = sorted((tmp_path / "out").glob("*.tfrecord"))
    assert first.name == "mine-00000-of-00002.tfrecord"
    before = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    done = prepare(tmp_path, "--max_bad_fraction=0.2")
    assert done.returncode == 0 and f"{first} is there" in done.stdout
    assert (first.stat().st_mtime_ns, second.read_bytes()) == before
    source = sources.open_source(f"tfrecord:{tmp_path}/out/mine-*.tfrecord")
    assert source.names == ["0.png", "1.png", "2.png", "3.png"]
    np.testing.assert_array_equal(source.read(3), picture(3))

    refused = prepare(tmp_path, "--max_side=8")
    assert refused.returncode == 2 and "was begun with other max_side" in refused.stderr
    plan = json.loads((tmp_path / "out" / "mine.plan.json").read_text())
    assert plan["images"] == [*source.names, "bad.png"]


@pytest.mark.system
def test_the_tool_shrinks_large_images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    smooth = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[np.newaxis, :, np.newaxis], (32, 1, 3))
    (folder / "a.png").write_bytes(png(smooth))
    (folder / "b.png").write_bytes(png(smooth[:10, :12]))
    assert prepare(tmp_path, "--max_side=16", fresh=True).returncode == 0
    source = sources.open_source(f"tfrecord:{tmp_path}/out/mine-*.tfrecord")
    assert source.read(0).shape == (8, 16, 3)
    assert np.abs(source.read(0)[4, :, 0] - np.linspace(6, 249, 16)).max() < 8
    np.testing.assert_array_equal(source.read(1), smooth[:10, :12])
