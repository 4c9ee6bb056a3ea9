"""What `--data` names: images that can be read one by one, by index.

A source is a sequence. Random access is what makes a batch a pure function of the seed and the step,
and so a resumed run the run uninterrupted.
"""

import concurrent.futures
import glob
import os
import re
import types
from collections import Counter
from collections.abc import Mapping

import numpy as np

from tf_landmarks.data import idx, image_files, synthetic_faces, tfrecords, videos
from tf_landmarks.errors import UserError

MADE_FACES = "made_faces"
GROUPS = ("sequence", "frame")
EXAMPLE_PATTERN = r"(?P<sequence>.*)_f(?P<frame>\d+)"


class Source:
    """A sequence of images.

    Attributes:
        names: One per image; for files the path relative to `root`.
        root: The folder the names are relative to, or a description.
        sequences: `[N]` int64, which video or object an image shows; None for single images.
        frame_numbers: `[N]` int64, its place in that sequence; None for single images.
        unreadable: What is known to be unreadable before it is read: reasons by index.
        neighbours: How many images in a row stay together when some are held out.
        of_videos: Whether the images are frames of videos.
    """

    names: list[str]
    root: str
    sequences: np.ndarray | None = None
    frame_numbers: np.ndarray | None = None
    unreadable: Mapping[int, str] = types.MappingProxyType({})
    neighbours: int = 10
    of_videos: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def frame_of(self, index: int) -> tuple[str, int | None]:
        """Returns the file that image `index` is in, and its number if it is a frame of a video."""
        return self.names[index], None

    def fps(self, file: str) -> float:
        """Returns the frames per second that a video states, 0 where unknown."""
        raise ValueError(f"{file} is no video of {type(self).__name__}")

    def read(self, index: int) -> np.ndarray:
        """Reads image `index` as `[H, W, 3]` uint8 RGB.

        Raises:
            UnreadableImageError: If it cannot be read.
        """
        raise NotImplementedError


class ImageFolder(Source):
    """Every image file below a folder, in the order of their names.

    Args:
        root: The folder.
        flag: The flag that named it, for messages.
        frame_pattern: Finds sequence and frame in the names, see `parse_names`; none if empty.

    Raises:
        UserError: If there is no image, or the pattern does not fit the names.
    """

    def __init__(self, root: str, flag: str = "--data", frame_pattern: str = ""):
        self.root = root
        files = _list_files(root)
        self.names = [name for name in files if _ending(name) in image_files.EXTENSIONS]
        if not self.names:
            others = Counter(_ending(name) or "no ending" for name in files)
            found = ", ".join(f"{count} {ending}" for ending, count in others.most_common(5))
            raise UserError(
                f"{flag}={root} holds no image or video (found: {found or 'nothing'}); it should "
                f"hold {', '.join(image_files.EXTENSIONS)} files, or {', '.join(videos.EXTENSIONS)}, "
                "at any depth"
            )
        if frame_pattern:
            self.sequences, self.frame_numbers = parse_names(self.names, frame_pattern)

    def read(self, index: int) -> np.ndarray:
        return image_files.read_image(os.path.join(self.root, self.names[index]))


class VideoFolder(Source):
    """Every frame of a video file, or of all video files below a folder, in the order of their names.

    A file that cannot be opened is one unreadable element, named like the file; so is what is missing
    of one that is cut short.

    Args:
        path: The file or folder.
    """

    neighbours = 50
    of_videos = True

    def __init__(self, path: str):
        single = os.path.isfile(path)
        self.root = (os.path.dirname(path) or os.curdir) if single else path
        files = [os.path.basename(path)] if single else _list_files(path)
        files = [name for name in files if videos.is_video(name)]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            opened = list(pool.map(self._open, files))
        #: The videos that can be read, by name.
        self.videos = {f: video for f, (video, _) in zip(files, opened, strict=True) if video}
        self.names, self.unreadable = [], {}
        self._files, places = files, []
        for number, (name, (video, flaw)) in enumerate(zip(files, opened, strict=True)):
            if video:
                self.names += [videos.frame_name(name, frame) for frame in range(len(video))]
                places += [(number, frame) for frame in range(len(video))]
            if flaw:
                self.unreadable[len(self.names)] = flaw
                self.names.append(name)
                places.append((-1 - number, 0))  # alone in its sequence
        self.sequences, self.frame_numbers = np.array(places, np.int64).T

    def frame_of(self, index: int) -> tuple[str, int | None]:
        return videos.split_name(self.names[index])

    def fps(self, file: str) -> float:
        return self.videos[file].fps

    def read(self, index: int) -> np.ndarray:
        if index in self.unreadable:
            raise image_files.UnreadableImageError(self.unreadable[index])
        video = self.videos[self._files[self.sequences[index]]]
        return video.read(int(self.frame_numbers[index]))

    def _open(self, name: str) -> tuple[videos.Video | None, str]:
        try:
            video = videos.Video(os.path.join(self.root, name))
        except image_files.UnreadableImageError as error:
            return None, str(error)
        return video, video.flaw


class IdxFiles(Source):
    """The images of idx files, of some classes or of all.

    Args:
        paths: Files of images.
        root: The folder they are in.
        flag: The flag that named it, for messages.
        classes: Labels to take, with commas; all if empty.

    Raises:
        UserError: If a file is damaged, or none of its images has such a label.
    """

    def __init__(self, paths: list[str], root: str, flag: str = "--data", classes: str = ""):
        self.root = root
        self.names, images = [], []
        for path in sorted(paths):
            every = idx.read(path)
            labels_path = idx.labels_path(path)
            labels = idx.read(labels_path) if os.path.exists(labels_path) else None
            if labels is None and classes:
                raise UserError(
                    f"--classes={classes} needs labels, and {labels_path} is not there; fetch it, or "
                    "leave --classes out"
                )
            if labels is not None and labels.shape != every.shape[:1]:
                raise UserError(
                    f"{labels_path} holds {labels.size} labels for {len(every)} images; fetch it again"
                )
            rows = np.arange(len(every))
            if classes:
                rows = np.flatnonzero(np.isin(labels, _class_numbers(classes)))
            names = [f"{idx.part(path)}_{row:05d}" for row in rows]
            if labels is not None:
                names = [f"{name}_{labels[row]}" for name, row in zip(names, rows, strict=True)]
            self.names += names
            images.append(every[rows])
        if not self.names:
            raise UserError(f"{flag}={root} holds no image of --classes={classes}")
        if len({part.shape[1:] for part in images}) > 1:
            raise UserError(
                f"{flag}={root} holds idx files of different image sizes; name one of them"
            )
        self._images = np.concatenate(images)

    def read(self, index: int) -> np.ndarray:
        return np.repeat(self._images[index][..., np.newaxis], 3, axis=-1)


class RecordFiles(Source):
    """The images of TFRecord files, in the order of files and records.

    Args:
        pattern: File names, with `*` for any characters.
        flag: The flag that named them, for messages.

    Raises:
        UserError: If there is no such file, or one is damaged where its records start and end.
    """

    def __init__(self, pattern: str, flag: str = "--data"):
        self.root = tfrecords.PREFIX + pattern
        paths = sorted(p for p in glob.glob(pattern) if not p.endswith((".npz", ".part")))
        if not paths:
            raise UserError(
                f"{flag}={self.root} matches no file; write them with tools/prepare_data.py "
                "--data=FOLDER --output=PREFIX"
            )
        shards = [tfrecords.Shard(path) for path in paths]
        self._places = [(shard, row) for shard in shards for row in range(len(shard))]
        self.names = [name for shard in shards for name in shard.index["names"].tolist()]
        sequences, frames = (
            np.concatenate([shard.index[field] for shard in shards])
            for field in ("sequences", "frame_numbers")
        )
        if len(self.names) and sequences.min() >= 0:
            self.sequences, self.frame_numbers = sequences, frames

    def read(self, index: int) -> np.ndarray:
        shard, row = self._places[index]
        try:
            encoded = shard.read(row)
        except tfrecords.DamagedRecordError as error:
            raise image_files.UnreadableImageError(str(error)) from error
        return image_files.decode_image(encoded)


class MadeFaces(Source):
    """Drawn faces, made as they are read: two poses of each look, neighbours in the sequence."""

    def __init__(self, num_looks: int = 2000, size: int = 64, seed: int = 0):
        self.root = MADE_FACES
        self._size, self._seed = size, seed
        numbers = np.arange(2 * num_looks)
        self.sequences, self.frame_numbers = numbers // 2, numbers % 2
        self.names = [f"look{i // 2:05d}_pose{i % 2}" for i in numbers]

    def read(self, index: int) -> np.ndarray:
        image, _ = synthetic_faces.make_face(self._seed, index // 2, index % 2, self._size)
        return image


def open_source(
    data: str,
    flag: str = "--data",
    prefer_train: bool = True,
    frame_pattern: str = "",
    classes: str = "",
) -> Source:
    """Opens what `--data` names: `made_faces`, a folder of images, a video or a folder of videos,
    `tfrecord:PATTERN`, an idx file or a folder of them.

    Args:
        data: The flag's value.
        flag: The flag, for messages.
        prefer_train: Of a folder with a `train/` inside, or of idx files, take that part.
        classes: Labels of images to take from idx files, with commas; all if empty.
        frame_pattern: Finds sequence and frame in the names of images, see `parse_names`.

    Returns:
        The source.

    Raises:
        UserError: If there is no such thing, or no image in it; says what to do.
    """
    if os.path.isfile(data) and idx.is_images(data):
        return IdxFiles([data], os.path.dirname(data) or os.curdir, flag, classes)
    if os.path.isdir(data):
        files = [name for name in os.listdir(data) if idx.is_images(name)]
        training = [name for name in files if idx.part(name).endswith("train")]
        files = training if prefer_train and training else files
        if files:
            return IdxFiles([os.path.join(data, name) for name in files], data, flag, classes)
    if classes:
        raise UserError(
            f"--classes={classes} is for idx files with labels, and {flag}={data} is none; leave it out"
        )
    if data.startswith(tfrecords.PREFIX):
        return RecordFiles(data.removeprefix(tfrecords.PREFIX), flag)
    numbered = f"{flag}={data} numbers its frames itself; leave --frame_pattern={frame_pattern} out"
    if data == MADE_FACES:
        if frame_pattern:
            raise UserError(numbered)
        return MadeFaces()
    if not os.path.exists(data):
        raise UserError(
            f"{flag}={data} does not exist; it takes a folder of images, a video, a folder of videos or "
            f"of idx files, or {MADE_FACES} for drawn faces that need no files"
        )
    train = os.path.join(data, "train")
    folder = train if prefer_train and os.path.isdir(train) else data
    files = [data] if os.path.isfile(data) else _list_files(folder)
    num_videos = sum(videos.is_video(name) for name in files)
    num_images = sum(_ending(name) in image_files.EXTENSIONS for name in files)
    if os.path.isfile(data) and not num_videos:
        raise UserError(
            f"{flag}={data} is a file; it takes the folder that holds the images, or a video "
            f"({', '.join(videos.EXTENSIONS)})"
        )
    if num_videos and num_images:
        raise UserError(
            f"{flag}={folder} holds {num_images} images and {num_videos} videos; give a folder that "
            "holds one of the two"
        )
    if not num_videos:
        return ImageFolder(folder, flag, frame_pattern)
    if frame_pattern:
        raise UserError(numbered)
    return VideoFolder(folder)


def compile_frame_pattern(pattern: str) -> re.Pattern:
    """Compiles `--frame_pattern`.

    Raises:
        UserError: If it is no regular expression, or lacks one of its two groups.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--frame_pattern={pattern} is no regular expression: {error}") from error
    missing = [f"(?P<{group}>...)" for group in GROUPS if group not in compiled.groupindex]
    if missing:
        raise UserError(
            f"--frame_pattern={pattern} lacks {' and '.join(missing)}; for walk1_f0012.jpg it could "
            f"be {EXAMPLE_PATTERN}"
        )
    return compiled


def parse_names(names: list[str], pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """Finds in each image's name which sequence it belongs to and its place there.

    An image for which the pattern matches without its groups, `labelled|(?P<sequence>...`, stands
    alone.

    Args:
        names: N names.
        pattern: A regular expression with the groups `sequence` and `frame`, found anywhere in a name.

    Returns:
        `[N]` int64 sequences and `[N]` int64 frame numbers.

    Raises:
        UserError: If it does not fit a name; says which.
    """
    compiled = compile_frame_pattern(pattern)
    sequences, places = {}, np.zeros((len(names), 2), np.int64)
    for row, name in enumerate(names):
        match = compiled.search(name)
        if not match:
            raise UserError(
                f"--frame_pattern={pattern} does not match the name {name}; extend it, if need be by "
                "an alternative without groups (|) for images that stand alone"
            )
        sequence, frame = (match[group] for group in GROUPS)
        if frame is not None and not re.fullmatch("[0-9]{1,18}", frame):
            raise UserError(
                f"--frame_pattern={pattern} finds the frame {frame!r} in {name}, which is not a whole "
                r"number; its group should be like (?P<frame>\d+)"
            )
        alone = sequence is None or frame is None
        places[row, 0] = sequences.setdefault((row,) if alone else sequence, len(sequences))
        places[row, 1] = 0 if alone else int(frame)
    return places[:, 0], places[:, 1]


def split(
    names: list[str], validation_fraction: float, seed: int, neighbours: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Splits images into those to train on and those to tune on.

    Neighbours in name order stay together: frames of a video are often numbered, and a frame between
    two training frames would be no test of anything.

    Args:
        names: Names in order.
        validation_fraction: Share for validation, in [0, 1).
        seed: The split is a pure function of it and the number of names.
        neighbours: How many in a row go the same way, at least.

    Returns:
        Indices for training and for validation, both ascending.

    Raises:
        UserError: If the fraction is out of range, or leaves one of the two parts empty.
    """
    if not 0.0 <= validation_fraction < 1.0:
        raise UserError(f"--validation_fraction={validation_fraction} must be in [0, 1)")
    blocks = np.array_split(np.arange(len(names)), max(1, len(names) // neighbours))
    order = np.random.default_rng(seed).permutation(len(blocks))
    wanted = round(validation_fraction * len(blocks))
    if validation_fraction and not 0 < wanted < len(blocks):
        raise UserError(
            f"--validation_fraction={validation_fraction} of {len(names)} images leaves a part "
            "empty; give more images or set it to 0"
        )
    chosen = set(order[:wanted].tolist())
    parts = [[b for i, b in enumerate(blocks) if (i in chosen) == held] for held in (False, True)]
    return tuple(np.concatenate([*part, np.zeros(0, int)]).astype(np.int64) for part in parts)


def _class_numbers(classes: str) -> list[int]:
    numbers = [part.strip() for part in classes.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise UserError(
            f"--classes={classes} must be whole numbers with commas, for instance 3 or 2,9"
        )
    return [int(number) for number in numbers]


def _list_files(root: str) -> list[str]:
    """All files below a folder, relative to it, in the order of their names; no hidden ones."""
    names, seen = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above would lead round in circles
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found = (name for name in files if not name.startswith("."))
        names += [os.path.relpath(os.path.join(folder, name), root) for name in found]
    return sorted(names)


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()
