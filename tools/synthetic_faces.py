"""Writes the drawn faces as files with annotations, to evaluate on or to look at.

    python tools/synthetic_faces.py --output=runs/made_faces

The training part shows the looks that `--data=made_faces` trains on; the test part shows others.
"""

from absl import flags, logging

from tf_landmarks import cli

_OUTPUT = flags.DEFINE_string(
    "output", None, "folder to write, with train/ and test/", required=True
)
_TRAIN = flags.DEFINE_integer("num_train", 2000, "faces of the training part", lower_bound=1)
_TEST = flags.DEFINE_integer("num_test", 400, "faces of the test part", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 64, "side of the pictures, pixels", lower_bound=16)
_POSES = flags.DEFINE_integer("poses", 1, "pictures of each face", lower_bound=1)
_MASKS = flags.DEFINE_bool("masks", False, "write labels/ too, 1 where the face is, for segment.py")


def main(_) -> None:
    """Parses flags, writes, says how to normalise."""
    with cli.plain_errors():
        from tf_landmarks.data import synthetic_faces

        synthetic_faces.write_dataset(
            _OUTPUT.value,
            _TRAIN.value,
            _TEST.value,
            _SIZE.value,
            poses=_POSES.value,
            masks=_MASKS.value,
        )
        pair = ",".join(synthetic_faces.NORMALIZER)
        logging.info("faces are in %s; evaluate with --normalizer=%s", _OUTPUT.value, pair)


if __name__ == "__main__":
    cli.run(main)
