"""Data sets of tensorflow-datasets, by name.

A set is downloaded and unpacked once, by tensorflow-datasets' own script, to `~/tensorflow_datasets` or where
the environment's TFDS_DATA_DIR says. Then its images are read by index: its usual files, TFRecord, by
tfrecords.Shard, which seeks to a record; ArrayRecord and Parquet by its own data sources. Nothing is decoded
ahead, so that CelebA costs what its index costs, and a resumed run reads what the run uninterrupted would.
"""

import os
import re
from collections.abc import Sequence

import numpy as np
from absl import logging

from tf_landmarks.data import image_files, tfrecords
from tf_landmarks.data.sources import base
from tf_landmarks.errors import UserError

PREFIX = "tfds:"
DATA_DIR = "TFDS_DATA_DIR"
CATALOG = "https://www.tensorflow.org/datasets/catalog"
#: Sets that show an object many times: the features that all images of a sequence have in common, and those
#: that number them in it.
SEQUENCES = {
    "smallnorb": (
        ("label_category", "instance", "label_lighting"),
        ("label_elevation", "label_azimuth"),
    )
}
# A name, with a configuration (lsun/car) and a version (mnist:3.0.1) if need be, and a split.
_WORDS = re.compile(r"(?P<name>[^:]+(:[\d*]+\.[\d*]+\.[\d*]+)?)(:(?P<split>.+))?")


class TfdsImages(base.Source):
    """The images of a split, in the order in which the set's files hold them.

    Args:
        builder: A tensorflow-datasets builder whose data are there.
        split: A split, or a part of one: `train[:1000]`.
        flag: The flag that named it, for messages.
        classes: Labels to take, numbers or names with commas; all if empty.

    Raises:
        UserError: If there is no such split, no image in the examples, or no image of such a label.
    """

    has_classes = True

    @classmethod
    def matches(cls, request: base.Request) -> bool:
        """Takes what begins with `tfds:`."""
        return request.data.startswith(PREFIX)

    @classmethod
    def open(cls, request: base.Request) -> "TfdsImages":
        """Opens `tfds:NAME[:SPLIT]`; the split is `train` where none is named. May download the set."""
        words = _WORDS.fullmatch(request.data.removeprefix(PREFIX))
        if not words:
            raise UserError(
                f"{request.flag}={request.data} must be {PREFIX}NAME or {PREFIX}NAME:SPLIT, for instance "
                f"{PREFIX}svhn_cropped:test"
            )
        request.refuse_frames()
        if request.frame_pattern:
            raise UserError(
                f"{request.flag}={request.data} has no file names for "
                f"--frame_pattern={request.frame_pattern}; leave it out. Sets whose frames are known without "
                f"it: {', '.join(SEQUENCES)}"
            )
        builder = _prepare(words["name"], f"{request.flag}={request.data}")
        return cls(builder, words["split"] or "train", request.flag, request.classes)

    def __init__(self, builder, split: str = "train", flag: str = "--data", classes: str = ""):
        config = f"/{builder.builder_config.name}" if builder.builder_config else ""
        self.root = f"{PREFIX}{builder.name}{config}:{split}"
        self._what = f"{flag}={self.root}"
        features = builder.info.features
        self._key = _image_feature(features, self._what)
        self._examples = _open_split(builder, split, self._key, self._what)
        self._rows = np.arange(len(self._examples))
        label = _label_feature(builder.info, classes, self._what) if classes else ""
        shared, numbering = SEQUENCES.get(builder.name, ((), ()))
        values = self._read_numbers([*shared, *numbering, *filter(None, [label])])
        if classes:
            wanted = _class_numbers(classes, features[label].names, self._what)
            self._rows = np.flatnonzero(np.isin(values[label], wanted))
        if not len(self._rows):
            raise UserError(
                f"{self._what} holds no image{f' of --classes={classes}' if classes else ''}"
            )
        self.names = [f"{split}_{row:06d}" for row in self._rows]
        if shared:
            self.sequences, self.frame_numbers = (
                _numbered([values[key] for key in keys])[self._rows] for keys in (shared, numbering)
            )

    def read(self, index: int) -> np.ndarray:
        try:
            encoded = self._examples[int(self._rows[index])][self._key]
        except Exception as error:  # what a parser makes of damaged bytes
            raise image_files.UnreadableImageError(
                f"the record cannot be read: {str(error).strip() or type(error).__name__}"
            ) from error
        return image_files.decode_image(encoded)

    def _read_numbers(self, keys: list[str]) -> dict[str, np.ndarray]:
        """Reads some features of all examples, `[N]` each; takes a while, unless there are no keys."""
        if not keys:
            return {}
        logging.info("%s: reading %s of %d images", self._what, ", ".join(keys), len(self._rows))
        read = [
            [example[key] for key in keys]
            for example in map(self._examples.__getitem__, self._rows.tolist())
        ]
        return dict(zip(keys, np.array(read, np.int64).reshape(-1, len(keys)).T, strict=True))


class _Records(Sequence):
    """The examples of a split in TFRecord files, by number; images stay encoded.

    Args:
        info: Of the set.
        split: Which of its examples.
        decoders: As tensorflow-datasets takes them.

    Raises:
        UserError: If a file is damaged where its records start and end.
    """

    def __init__(self, info, split: str, decoders):
        self._features, self._decoders = info.features, decoders
        self._places = []
        for part in info.splits[split].file_instructions:
            shard = tfrecords.Shard(os.fspath(part.filename))
            end = len(shard) if part.take < 0 else part.skip + part.take
            self._places += [(shard, row) for row in range(part.skip, end)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict:
        shard, row = self._places[index]
        data = shard.read_record(row)
        return self._features.deserialize_example_np(data, decoders=self._decoders)


def _prepare(name: str, what: str):
    """Makes a set's builder, and downloads the set where it is not on this machine.

    Raises:
        UserError: If there is no such set, or it cannot be had.
    """
    import tensorflow_datasets as tfds  # takes a second

    try:
        builder = tfds.builder(name, data_dir=os.environ.get(DATA_DIR))
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError) as error:
        raise UserError(
            f"{what}: tensorflow-datasets {tfds.__version__} knows no {name}; {CATALOG} lists what it knows, "
            f"and {PREFIX}NAME/CONFIGURATION chooses where there are several ({_first_line(error)})"
        ) from error
    if builder.is_prepared():
        return builder
    logging.info(
        "%s is not on this machine: downloads %s to %s and unpacks it there, once; %s names another place",
        what, _download_size(builder), builder.data_dir, DATA_DIR,
    )  # fmt: skip
    try:
        builder.download_and_prepare()
    except Exception as error:  # of the network, the disk, or the set's own script
        raise UserError(
            f"{what} is not in {builder.data_dir} and could not be made there ({_first_line(error)}). Where there "
            f"is a network, run: python -c \"import tensorflow_datasets as tfds; tfds.builder('{name}')."
            f'download_and_prepare()" (what it asks for by hand: {CATALOG}/{builder.name}); then copy '
            f"{os.path.relpath(builder.data_dir, builder.data_dir_root)} with its folders here, below "
            f"{builder.data_dir_root} or the folder that {DATA_DIR} names"
        ) from error
    return builder


def _open_split(builder, split: str, image_key: str, what: str) -> Sequence:
    """Opens the examples of a split by number, images still encoded."""
    import tensorflow_datasets as tfds

    decoders = {image_key: tfds.decode.SkipDecoding()}
    try:
        try:
            return builder.as_data_source(split, decoders=decoders)
        except NotImplementedError:  # TFRecord, what sets usually are in
            return _Records(builder.info, split, decoders)
    except UserError:
        raise
    except (KeyError, ValueError, AssertionError) as error:
        raise UserError(
            f"{what}: the set has no such split; it has {', '.join(builder.info.splits)}, of which a part is "
            f"train[:1000] or train[10%:] ({_first_line(error)})"
        ) from error


def _image_feature(features, what: str) -> str:
    """Finds the feature that is the image: `image`, or the first that is one."""
    import tensorflow_datasets as tfds

    images = [key for key, kind in features.items() if isinstance(kind, tfds.features.Image)]
    if not images:
        raise UserError(f"{what} is no set of images; its examples hold {', '.join(features)}")
    return "image" if "image" in images else images[0]


def _label_feature(info, classes: str, what: str) -> str:
    """Finds the feature that is an image's label: the set's own choice, or the first that is one."""
    import tensorflow_datasets as tfds

    kinds = {k: v for k, v in info.features.items() if isinstance(v, tfds.features.ClassLabel)}
    if not kinds:
        raise UserError(f"--classes={classes} needs labels, and {what} has none; leave it out")
    return next(key for key in (*(info.supervised_keys or ()), *kinds) if key in kinds)


def _class_numbers(classes: str, names: Sequence[str], what: str) -> list[int]:
    """Reads `--classes`: numbers or names of labels, with commas."""
    numbers = {str(number): number for number in range(len(names))}
    numbers |= {name: number for number, name in enumerate(names)}
    words = [word.strip() for word in classes.split(",")]
    unknown = [word for word in words if word not in numbers]
    if unknown:
        raise UserError(
            f"--classes={classes}: {what} has no label {unknown[0]!r}; it has 0 to {len(names) - 1}, called "
            f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
        )
    return [numbers[word] for word in words]


def _numbered(columns: list[np.ndarray]) -> np.ndarray:
    """Gives each combination of values a number, `[N]` int64, in their order."""
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _download_size(builder) -> str:
    infos = builder.url_infos or {}
    size = sum(info.size or 0 for info in infos.values())
    return f"up to {size / 2**20:,.0f} MiB" if size else "an unknown number of bytes"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
