"""Pages of stacks and frames of animations are images of their own, scaled alike."""

import os
import threading

import numpy as np
import pytest
from PIL import Image

from tests.data.test_image_files import tiff
from tf_landmarks.data import image_files, labelled, sources, stacks

pytestmark = pytest.mark.core

COUNT = 5


def frames(dtype=np.uint8, factor: float = 1) -> list[np.ndarray]:
    """`[12, 16]` each, a ramp that grows brighter from frame to frame."""
    ramp = np.add.outer(np.arange(12), np.arange(16))
    return [((ramp + 40 * k) * factor).astype(dtype) for k in range(COUNT)]


def save(path, pictures, **options) -> str:
    first, *rest = [Image.fromarray(picture) for picture in pictures]
    first.save(path, save_all=True, append_images=rest, **options)
    return str(path)


@pytest.mark.parametrize("ending", ["tif", "TIFF", "gif", "webp", "png", "apng", "avif"])
def test_every_page_is_an_image_with_a_number(tmp_path, ending):
    options = (
        {"lossless": True} if ending == "webp" else {"quality": 100} if ending == "avif" else {}
    )
    save(tmp_path / f"a.{ending}", frames(), **options)
    Image.fromarray(frames()[2]).save(tmp_path / f"b.{ending}", **options)
    source = sources.open_source(str(tmp_path))
    assert source.names == [*(f"a.{ending}#00000{k}" for k in range(COUNT)), f"b.{ending}"]
    for index in (3, 0, 4, 1, 2):
        got = source.read(index)[..., 0].astype(int)
        np.testing.assert_allclose(got, frames()[index], atol=6 if ending == "avif" else 0)
    assert source.sequences.tolist() == [0] * COUNT + [1]
    assert source.frame_numbers.tolist() == [*range(COUNT), 0]


@pytest.mark.parametrize(
    ("dtype", "factor"),
    [(np.uint16, 1), (np.uint16, 16), (np.int32, 4), (np.float32, 1 / 255), (np.float32, 16)],
)
def test_deep_pages_share_the_scale_of_the_file(tmp_path, dtype, factor):
    path = save(tmp_path / "a.tif", frames(dtype, factor))
    stack = stacks.Stack(path)
    for number in (0, 4, 2):
        got = stack.read(number)[..., 0].astype(int)
        np.testing.assert_allclose(got, frames()[number], atol=1)


def test_values_without_a_depth_are_stretched_over_all_pages(tmp_path):
    pages = frames(np.float32, 0.001)
    stack = stacks.Stack(save(tmp_path / "a.tif", [page - 0.05 for page in pages]))
    found = np.stack([stack.read(number)[..., 0] for number in range(COUNT)])
    want = np.stack(frames()) * (255 / np.stack(frames()).max())
    np.testing.assert_allclose(found, want, atol=1)


def test_threads_read_pages_side_by_side(tmp_path):
    stack = stacks.Stack(save(tmp_path / "a.tif", frames(np.uint16, 16)))
    wrong = []

    def read(start):
        for step in range(20):
            number = (start + 3 * step) % COUNT
            if abs(stack.read(number)[..., 0].astype(int) - frames()[number]).max() > 1:
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_name_of_other_bytes_is_read_by_opencv_too(tmp_path):
    values = np.dstack([frames(np.uint16, 16)[2]] * 3)
    path = os.path.join(str(tmp_path), "caf\udce9.tif")
    (tmp_path / "a.tif").write_bytes(tiff(values))
    os.rename(tmp_path / "a.tif", path)
    np.testing.assert_array_equal(stacks.Stack(path).read(0)[..., 1], frames()[2])


def test_thumbnails_inside_a_tiff_are_no_pages(tmp_path):
    first, small = Image.fromarray(frames()[0]), Image.fromarray(frames()[0][::4, ::4])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    first.save(tmp_path / "a.tif", save_all=True, append_images=[small])
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == 2
    assert sources.open_source(str(tmp_path)).names == ["a.tif"]


def test_the_second_picture_of_a_phones_jpeg_is_left_out(tmp_path):
    save(tmp_path / "a.jpg", frames(), format="MPO")
    assert sources.open_source(str(tmp_path)).names == ["a.jpg"]


def test_a_stack_that_is_cut_short_says_what_is_missing(tmp_path):
    path = save(tmp_path / "a.tif", frames())
    with open(path, "rb+") as file:
        file.truncate(int(0.7 * len((tmp_path / "a.tif").read_bytes())))
    source = sources.open_source(str(tmp_path))
    assert source.names[:2] == ["a.tif#000000", "a.tif#000001"] and source.names[-1] == "a.tif"
    with pytest.raises(image_files.UnreadableImageError, match=r"^\d of \d pages can be read"):
        source.read(len(source) - 1)


def test_annotated_pages_are_found(tmp_path):
    save(tmp_path / "a.tif", frames())
    (tmp_path / "landmarks.csv").write_text("file,a_x,a_y\na.tif#000001,3,4\na.tif#000003,5,6\n")
    known = labelled.read_split(str(tmp_path))
    assert [path[-12:] for path in known.paths] == ["a.tif#000001", "a.tif#000003"]
    np.testing.assert_array_equal(known.images[1][..., 0], frames()[3])
