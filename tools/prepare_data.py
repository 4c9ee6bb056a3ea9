"""Writes images or videos as TFRecord shards, which training reads as --data=tfrecord:PATTERN.

    python tools/prepare_data.py --data=my_images --output=/data/mine --shards=64
    python -m tf_landmarks.train --data='tfrecord:/data/mine-*.tfrecord' ...

Image files go in as they are, unless --max_side makes them smaller; frames of videos as JPEG. The same
command again goes on where it stopped. Files that cannot be read are named and left out.
"""

import io
import json
import os
import shlex

import numpy as np
from absl import flags, logging
from PIL import Image

from tf_landmarks import cli
from tf_landmarks.data import unreadable
from tf_landmarks.errors import UserError

_DATA = flags.DEFINE_string("data", None, "what --data of training takes", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", None, "start of the shards' names: OUTPUT-00000-of-00064.tfrecord", required=True
)
_SHARDS = flags.DEFINE_integer("shards", 64, "how many files", lower_bound=1)
_MAX_SIDE = flags.DEFINE_integer(
    "max_side", 0, "shrink images whose longer side has more pixels; 0: keep files as they are",
    lower_bound=0,
)  # fmt: skip
_QUALITY = flags.DEFINE_integer("quality", 95, "of JPEG, where images are encoded anew", 1, 100)
_FRAME_PATTERN = flags.DEFINE_string(
    "frame_pattern", "", "finds sequence and frame in the names of stills, as in training"
)
_FRAMES = flags.DEFINE_string(
    "frames", "", "of each video or stack, the frames to take, start:stop:step; all if empty"
)
_MAX_BAD = flags.DEFINE_float("max_bad_fraction", 0.01, "share of unreadable files to tolerate")


def main(_) -> None:
    """Writes the shards that are not there yet."""
    with cli.plain_errors():
        from tf_landmarks.data import sources, tfrecords

        source = sources.open_source(
            _DATA.value, frame_pattern=_FRAME_PATTERN.value, frames=_FRAMES.value
        )
        os.makedirs(os.path.dirname(os.path.abspath(_OUTPUT.value)), exist_ok=True)
        _check_plan(source)
        bad = unreadable.BadFiles(len(source), _MAX_BAD.value)
        parts = np.array_split(np.arange(len(source)), min(_SHARDS.value, len(source)))
        for number, indices in enumerate(parts):
            path = f"{_OUTPUT.value}-{number:05d}-of-{len(parts):05d}.tfrecord"
            if os.path.exists(path):
                logging.info("%s is there", path)
                continue
            _write_shard(tfrecords.ShardWriter(path), source, indices, bad)
            logging.info("wrote %s, %d of %d", path, indices[-1] + 1, len(source))
        pattern = shlex.quote(f"tfrecord:{_OUTPUT.value}-*.tfrecord")
        logging.info(
            "%d images in %d shards; train with --data=%s",
            len(source) - len(bad), len(parts), pattern,
        )  # fmt: skip


def _write_shard(writer, source, indices: np.ndarray, bad) -> None:
    from tf_landmarks.data import image_files

    for index in indices.tolist():
        try:
            encoded = _encode(source, index)
        except image_files.UnreadableImageError as error:
            bad.add(source.names[index], str(error))
            bad.check()
            continue
        places = (-1, -1)
        if source.sequences is not None:
            places = (int(source.sequences[index]), int(source.frame_numbers[index]))
        writer.write(source.names[index], encoded, *places)
    writer.close()


def _encode(source, index: int) -> bytes:
    """The bytes of an image file: the file's own, if it is one and small enough."""
    image = source.read(index)  # so that what cannot be read is found here, not in training
    path = os.path.join(source.root, source.names[index])
    shrinks = 0 < _MAX_SIDE.value < max(image.shape[:2])
    if os.path.isfile(path) and not shrinks:
        with open(path, "rb") as file:
            return file.read()
    picture = Image.fromarray(image)
    if shrinks:
        picture.thumbnail((_MAX_SIDE.value, _MAX_SIDE.value), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY.value, subsampling=0)
    return buffer.getvalue()


def _check_plan(source) -> None:
    """Refuses to go on with shards that were begun from other images or with other flags."""
    plan = {
        "images": source.names,
        "shards": _SHARDS.value,
        "max_side": _MAX_SIDE.value,
        "quality": _QUALITY.value,
        "frame_pattern": _FRAME_PATTERN.value,
    }
    path = f"{_OUTPUT.value}.plan.json"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
        other = [name for name, value in plan.items() if before.get(name) != value]
        if other:
            raise UserError(
                f"--output={_OUTPUT.value} was begun with other {', '.join(other)}; take them again, "
                "or another --output"
            )
        return
    with open(path, "w", encoding="utf-8") as file:
        json.dump(plan, file)


if __name__ == "__main__":
    cli.run(main)
