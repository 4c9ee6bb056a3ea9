"""What `--data` finds, what it refuses and in which words, and how a set is split."""

import os
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_landmarks import run_directory
from tf_landmarks.data import image_files, samplers, sources
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core


def fill(root, *names: str) -> str:
    """Makes files whose red value is their place in the list."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in image_files.EXTENSIONS:
            kind = Image.registered_extensions()[path.suffix.lower()]
            Image.new("RGB", (4, 3), (number, 0, 0)).save(path, kind, lossless=True)
        else:
            path.write_text("not an image")
    return str(root)


def frame_pairs(source: sources.Source) -> samplers.BoundSampler:
    """The pairs of a source's frames, 1 to 30 frames apart."""
    images = samplers.Images("--data", len(source), source.sequences, source.frame_numbers)
    return samplers.FramePairs(1, 30).bind(images)


def test_images_are_found_at_any_depth_in_the_order_of_their_names(tmp_path):
    names = ["b.png", "a/z.bmp", "a/b/c.GIF", "c.WebP", "a.JPG", "B.jpeg", "a/y.txt"]
    source = sources.open_source(fill(tmp_path, *names))
    assert source.names == ["B.jpeg", "a.JPG", "a/b/c.GIF", "a/z.bmp", "b.png", "c.WebP"]
    assert len(source) == 6 and source.root == str(tmp_path)
    for index in (2, 3, 4, 5):
        image = source.read(index)
        assert image.shape == (3, 4, 3) and image.dtype == np.uint8
        assert image[0, 0, 0] == names.index(source.names[index])


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    fill(tmp_path, "a.png", ".b.png", "._a.png", ".cache/c.png", "d/.e/f.png")
    assert sources.open_source(str(tmp_path)).names == ["a.png"]


def test_of_a_folder_with_train_inside_that_part_is_taken(tmp_path):
    fill(tmp_path, "train/images/a.png", "test/images/b.png", "c.png")
    source = sources.open_source(str(tmp_path))
    assert source.names == ["images/a.png"]
    assert source.root == str(tmp_path / "train")


def test_a_file_named_train_is_not_that_part(tmp_path):
    assert sources.open_source(fill(tmp_path, "train", "c.png")).names == ["c.png"]


def test_folders_with_an_images_ending_are_folders(tmp_path):
    assert sources.open_source(fill(tmp_path, "x.jpg/a.png")).names == ["x.jpg/a.png"]


def test_links_to_files_and_folders_are_followed(tmp_path):
    fill(tmp_path, "elsewhere/a.png", "elsewhere/b.png", "data/c.png")
    (tmp_path / "data" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "d.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    (tmp_path / "data" / "gone.png").symlink_to(tmp_path / "elsewhere" / "none.png")
    source = sources.open_source(str(tmp_path / "data"))
    assert source.names == ["c.png", "d.png", "gone.png", "more/a.png", "more/b.png"]
    assert source.read(1)[0, 0, 0] == 1
    with pytest.raises(image_files.UnreadableImageError, match="No such file"):
        source.read(2)


def test_a_link_to_a_folder_above_does_not_repeat_the_images(tmp_path):
    fill(tmp_path, "a/b/c.png")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "here").symlink_to(tmp_path / "a")
    assert sources.open_source(str(tmp_path)).names == ["a/b/c.png"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("none", "does not exist"), ("n*.png", "matches no file"), ("[1]/a.png", "matches no file")],
)
def test_what_is_not_there_is_refused(tmp_path, name, words):
    with pytest.raises(UserError, match=rf" {words}; it takes an image, a video, .*or made_f"):
        sources.open_source(str(tmp_path / name))
    # Predicting takes drawn faces too, but nobody who misspelt a folder means them.
    with pytest.raises(UserError, match=rf" {words}; it takes an image, a video, .*or tfds:NAME$"):
        sources.open_source(str(tmp_path / name), flag="--input")


def test_a_file_of_another_kind_is_refused(tmp_path):
    fill(tmp_path, "a.docx")
    with pytest.raises(UserError, match=r"a\.docx is a file, and neither an image nor a video"):
        sources.open_source(str(tmp_path / "a.docx"))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError) as refused:
        sources.open_source(str(tmp_path))
    assert str(refused.value) == (
        f"--data={tmp_path} holds no image or video (found: nothing); it should hold files such as "
        ".jpg, .png or .tif, or videos such as .mp4, at any depth"
    )


def test_a_folder_of_other_files_is_refused_with_what_it_holds(tmp_path):
    fill(tmp_path, "a.CR2", "b/c.cr2", "b/d.cr2", "e.txt", "f.txt", "README", ".hidden.png")
    with pytest.raises(ValueError, match=r"\(found: 3 \.cr2, 2 \.txt, 1 no ending\)"):
        sources.open_source(str(tmp_path))


def test_single_images_belong_to_no_sequence(tmp_path):
    source = sources.open_source(fill(tmp_path, "a.png"))
    assert source.sequences is None and source.frame_numbers is None


def test_a_pattern_finds_sequences_and_frames_in_names(tmp_path):
    names = ["a/walk_f0012.png", "a/walk_f0003.png", "b/walk_f3.png", "b/run_f007.png"]
    source = sources.open_source(fill(tmp_path, *names), frame_pattern=sources.EXAMPLE_PATTERN)
    assert source.names == [
        "a/walk_f0003.png",
        "a/walk_f0012.png",
        "b/run_f007.png",
        "b/walk_f3.png",
    ]
    assert source.frame_numbers.tolist() == [3, 12, 7, 3]
    first, same, other, third = source.sequences
    assert first == same and len({first, other, third}) == 3


def test_images_may_stand_alone():
    pattern = r"labelled|(?P<sequence>video)_f(?P<frame>\d+)"
    names = ["labelled_img1.jpg", "labelled_img2.jpg", "video_f4.jpg", "video_f8.jpg"]
    sequences, frames = sources.parse_names(names, pattern)
    assert sequences[2] == sequences[3] and len(set(sequences)) == 3
    assert frames.tolist() == [0, 0, 4, 8]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"--frame_pattern=\( is no regular expression"),
        (r"f(?P<frame>\d+)", r"lacks \(\?P<sequence>\.\.\.\); for walk1_f0012\.jpg it could be"),
        (r"(?P<sequence>a)_f(?P<frame>\d+)", r"does not match the name b_f2\.png; extend it"),
        (
            r"(?P<sequence>.)_(?P<frame>..)",
            r"finds the frame 'f1' in a_f1\.png, which is not a whole",
        ),
    ],
)
def test_a_pattern_that_does_not_fit_is_refused_with_the_name(tmp_path, pattern, message):
    fill(tmp_path, "a_f1.png", "b_f2.png")
    with pytest.raises(ValueError, match=message):
        sources.open_source(str(tmp_path), frame_pattern=pattern)


@pytest.mark.parametrize(
    ("name", "pattern", "count"),
    [
        ("fly", sources.EXAMPLE_PATTERN, 1034),
        ("mirror_mouse", r"labelled|(?P<sequence>video)_f(?P<frame>\d+)", 249),
    ],
)
def test_neighbouring_frames_of_real_stills_make_pairs(photographs, name, pattern, count):
    source = sources.open_source(str(photographs / name), frame_pattern=pattern)
    pairs = frame_pairs(source)
    assert len(pairs.rows) == count
    rows = tf.constant(pairs.rows[::50])
    for first, second in pairs.choose(rows, tf.fill(rows.shape, 0.7)).numpy():
        one, two = source.names[first], source.names[second]
        assert one != two and one.rpartition("_f")[0] == two.rpartition("_f")[0]


def test_made_faces_are_the_same_each_time_and_a_face_has_two_poses():
    source = sources.open_source("made_faces")
    assert isinstance(source, sources.SyntheticFaces) and len(source) == 4000
    for index in (0, 1, 7, 3999):
        name = f"look{source.sequences[index]:05d}_pose{source.frame_numbers[index]}"
        assert source.names[index] == name
    rows = tf.constant([0, 1, 6, 7, 3999], tf.int64)
    pairs = frame_pairs(source).choose(rows, tf.fill([5], 0.6)).numpy()
    assert pairs.tolist() == [[0, 1], [1, 0], [6, 7], [7, 6], [3999, 3998]]
    images = [source.read(int(index)) for index in (6, 7, 8)]
    assert images[0].shape == (64, 64, 3) and images[0].dtype == np.uint8
    np.testing.assert_array_equal(images[0], sources.open_source("made_faces").read(6))
    # One face has one background; another face has another.
    equal = [(image == images[0]).all(-1).mean() for image in images]
    assert 0.05 < equal[1] < 1 and equal[2] < 0.05


NAMES = [f"{number:04d}.png" for number in range(537)]


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
def test_a_split_is_disjoint_complete_and_of_the_wanted_size(fraction):
    training, validation = sources.split(NAMES, fraction, seed=3)
    assert training.dtype == validation.dtype == np.int64
    assert sorted([*training, *validation]) == list(range(537))
    assert (np.diff(training) > 0).all() and (np.diff(validation) > 0).all()
    # 53 blocks of 10 or 11.
    assert abs(len(validation) - fraction * 537) <= 16


def test_a_split_is_a_function_of_its_seed():
    first, again, other = (sources.split(NAMES, 0.3, seed)[1] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@pytest.mark.parametrize("neighbours", [10, 50])
def test_neighbours_stay_together(neighbours):
    held = np.zeros(len(NAMES), bool)
    held[sources.split(NAMES, 0.3, 0, neighbours)[1]] = True
    ends = np.flatnonzero(np.diff(held.astype(int))) + 1
    runs = np.diff([0, *ends, len(NAMES)])
    assert len(runs) > 100 / neighbours and runs.min() >= neighbours
    # Each block goes one way.
    blocks = np.array_split(held, len(NAMES) // neighbours)
    assert all(block.all() or not block.any() for block in blocks)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=rf"--validation_fraction={fraction} must be in \[0, 1\)"):
        sources.split(NAMES, fraction, seed=0)


@pytest.mark.parametrize(("count", "fraction"), [(9, 0.5), (15, 0.3), (537, 0.001), (100, 0.99)])
def test_a_split_that_leaves_a_part_empty_is_refused(count, fraction):
    with pytest.raises(ValueError, match=f"={fraction} of {count} images leaves a part empty"):
        sources.split(NAMES[:count], fraction, seed=0)


def test_without_a_share_even_one_image_can_be_trained_on():
    training, validation = sources.split(NAMES[:1], 0.0, seed=0)
    assert training.tolist() == [0] and validation.tolist() == []


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take text alone")
def test_names_that_are_not_text_can_be_read(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    with open(path, "wb") as file:
        Image.new("RGB", (4, 3), (7, 0, 0)).save(file, "PNG")
    source = sources.open_source(str(tmp_path))
    assert source.names == ["caf\udce9.png"]
    assert source.read(0)[0, 0, 0] == 7


# --- Kinds ------------------------------------------------------------------------------------


def test_the_first_kind_that_matches_is_opened(monkeypatch):
    class Everything(sources.Source):
        """Two images, whatever is asked for."""

        @classmethod
        def matches(cls, request):
            return request.data.startswith("every:")

        @classmethod
        def open(cls, request):
            source = cls()
            source.names, source.root = ["a", "b"], request.data
            return source

    monkeypatch.setattr(sources, "SOURCES", (*sources.SOURCES, Everything))
    source = sources.open_source("every:thing")
    assert isinstance(source, Everything) and source.root == "every:thing" and len(source) == 2
    with pytest.raises(
        ValueError, match=r"--classes=1 is for idx files .* --data=every:thing is none"
    ):
        sources.open_source("every:thing", classes="1")
    with pytest.raises(ValueError, match="--data=nothing does not exist"):
        sources.open_source("nothing")


# --- What is named, and what is passed over -----------------------------------------------------


def said(caplog, data: str, **options) -> tuple[sources.Source, list[str]]:
    """Opens a source; the lines that it logs."""
    with caplog.at_level("INFO", "absl"):
        source = sources.open_source(data, **options)
    return source, [record.getMessage() for record in caplog.records]


def test_what_is_not_used_is_counted_by_its_ending(tmp_path, caplog):
    others = ["i1.HEIC", "b/i2.HEIC", "i3.heic", "notes.txt", "README"]
    quiet = [
        *(
            "landmarks.csv",
            "Thumbs.db",
            "desktop.ini",
            "coco.json",
            "CollectedData_me.h5",
            ".DS_Store",
        ),
        "._a.jpg",
    ]
    fill(tmp_path, "a.jfif", "b.JPE", *others, *quiet)
    source, lines = said(caplog, str(tmp_path))
    assert source.names == ["a.jfif", "b.JPE"]
    assert lines == [f"--data={tmp_path}: passed over: 3 .HEIC, 1 no ending, 1 .txt"]


def test_nothing_is_said_where_all_is_used(tmp_path, caplog):
    fill(tmp_path, "a.png", "landmarks.csv")
    assert said(caplog, str(tmp_path))[1] == []


def test_a_folder_of_our_own_results_is_left_out_but_can_be_named(tmp_path, caplog):
    fill(tmp_path, "a.png")
    run_directory.make_folder(str(tmp_path / "found" / "overlays"))
    fill(tmp_path / "found" / "overlays", "a.png.png")
    fill(tmp_path / "run", "flags.cfg", "checkpoints/x", "pictures/b.png")
    source, lines = said(caplog, str(tmp_path))
    assert source.names == ["a.png"]
    assert "found/overlays/ (written by tf_landmarks)" in lines[0]
    assert "run/ (written by tf_landmarks)" in lines[0]
    assert sources.open_source(str(tmp_path / "found" / "overlays")).names == ["a.png.png"]


def test_a_folder_that_holds_the_users_files_is_never_marked(tmp_path):
    fill(tmp_path, "data/a.png", "data/below/b.png")
    run_directory.make_folder(str(tmp_path / "data"))
    assert len(sources.open_source(str(tmp_path))) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path, caplog):
    fill(tmp_path, "a.png", "private/b.png")
    (tmp_path / "private").chmod(0)
    assert "private/ (Permission denied)" in said(caplog, str(tmp_path))[1][0]


def test_one_image_file_is_a_source(tmp_path, monkeypatch):
    source = sources.open_source(fill(tmp_path, "x.png", "a [1].PNG") + "/a [1].PNG")
    assert source.names == ["a [1].PNG"] and source.root == str(tmp_path)
    assert source.read(0)[0, 0, 0] == 1
    monkeypatch.chdir(tmp_path)
    assert sources.open_source("x.png").read(0).shape == (3, 4, 3)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["a.png", "b.png"]),
        ("day [1]/*.png", ["c.png"]),
        ("day [1]/**/*.png", ["below/d.png", "c.png"]),
        ("*/c.png", ["day [1]/c.png"]),
        ("day*", ["day [1]/below/d.png", "day [1]/c.png"]),
        ("[ab].p?g", ["a.png", "b.png"]),
    ],
)
def test_a_pattern_names_files_and_folders(tmp_path, pattern, names):
    fill(tmp_path, "a.png", "b.png", "day [1]/c.png", "day [1]/below/d.png", "e.jpg")
    source = sources.open_source(os.path.join(tmp_path, pattern))
    assert source.names == names
    assert all(source.read(index).shape == (3, 4, 3) for index in range(len(source)))


def test_a_list_names_files_in_its_own_order(tmp_path, caplog):
    fill(tmp_path, "one/a.png", "one/b.png", "two/c d.png", "two/caf\u00e9.png")
    lines = [
        "\ufeffb.png",
        "",
        "../two/c d.png",
        "a.png",
        "a.png",
        "gone.png",
        str(tmp_path / "two/cafe\u0301.png"),
    ]
    (tmp_path / "one" / "list.TXT").write_text("\r\n".join([*lines, "x.doc"]), encoding="utf-8")
    source, said_lines = said(caplog, str(tmp_path / "one" / "list.TXT"))
    assert source.root == str(tmp_path)
    assert source.names == [
        *("one/b.png", "two/c d.png", "one/a.png", "one/gone.png", "two/caf\u00e9.png")
    ]
    assert source.read(2)[0, 0, 0] == 0 and source.read(4)[0, 0, 0] == 3
    assert said_lines[0].endswith("passed over: 1 .doc, 1 named twice")
    with pytest.raises(image_files.UnreadableImageError, match="No such file"):
        source.read(3)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take text alone")
def test_a_list_names_files_of_any_bytes(tmp_path):
    for name in (b"caf\xe9.png", "u\u2028.png".encode()):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            Image.new("RGB", (4, 3)).save(file, "PNG")
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.png\nu\xe2\x80\xa8.png\n")
    assert sources.open_source(str(tmp_path / "list.txt")).names == ["caf\udce9.png", "u\u2028.png"]


# --- Frames -----------------------------------------------------------------------------------


def stack(path, count: int) -> None:
    first, *rest = [Image.new("L", (4, 3), number) for number in range(count)]
    first.save(path, save_all=True, append_images=rest)


@pytest.mark.parametrize(
    ("frames", "kept"),
    [
        ("", range(12)),
        ("0:5", range(5)),
        ("2:9:3", [2, 5, 8]),
        ("-3:", [9, 10, 11]),
        ("::5", [0, 5, 10]),
    ],
)
def test_frames_of_a_stack_can_be_chosen(tmp_path, frames, kept):
    stack(tmp_path / "a.tif", 12)
    source = sources.open_source(str(tmp_path), frames=frames)
    assert source.frame_numbers.tolist() == list(kept)
    assert [source.read(index)[0, 0, 0] for index in range(len(source))] == list(kept)


@pytest.mark.parametrize("frames", ["7", "a:b", "0:5:0", "0:5:-1", "1:2:3:4", "0 5", "1.5:3"])
def test_frames_that_are_no_slice_are_refused(tmp_path, frames):
    with pytest.raises(UserError, match=f"^--frames={frames} "):
        sources.open_source(str(tmp_path), frames=frames)


def test_frames_are_refused_where_there_are_none(tmp_path):
    for data in (fill(tmp_path, "a.png"), sources.MADE_FACES):
        with pytest.raises(UserError, match=r"^--frames=0:5 chooses frames of videos and pages"):
            sources.open_source(data, frames="0:5")
    stack(tmp_path / "b.tif", 3)
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=r"^--frames=5: leaves no page of --data=.*longest has 3$"):
        sources.open_source(str(tmp_path), frames="5:")
