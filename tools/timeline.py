"""How heatmaps and landmarks of a run changed over training, as one picture.

    python tools/timeline.py --run_dir=runs/mine --output=runs/mine/timeline

Takes the pictures that a run keeps for TensorBoard at every evaluation (`--eval_every`): a row for each
step, the oldest on top. Writes timeline.png.
"""

import os

import cv2
import numpy as np
from absl import flags, logging

from tf_landmarks import cli, results, spread
from tf_landmarks.errors import UserError

_RUN_DIR = flags.DEFINE_string("run_dir", None, "the run", required=True)
_PICTURE = flags.DEFINE_enum(
    "picture", "heatmaps", ["heatmaps", "pairs"],
    "heatmaps of one image, a column each; or pairs of images with what was found and redrawn",
)  # fmt: skip
_ROWS = flags.DEFINE_integer("rows", 8, "steps shown, spread over the run", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, reads the events, writes the picture."""
    with cli.plain_errors():
        import tensorflow as tf

        from tf_landmarks import run_directory
        from tf_landmarks.visualize import grids

        output = results.ResultFolder(_OUTPUT.value, ["timeline.png"])
        folder = os.path.join(_RUN_DIR.value, run_directory.TENSORBOARD)
        files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        pictures = {}
        for name in files:
            for record in tf.data.TFRecordDataset(os.path.join(folder, name)):
                event = tf.compat.v1.Event.FromString(record.numpy())
                for value in event.summary.value:
                    if value.tag == _PICTURE.value:
                        pictures[event.step] = value.tensor.string_val[2]
        if not pictures:
            raise UserError(
                f"--run_dir={_RUN_DIR.value} holds no pictures of {_PICTURE.value}; a run makes them at "
                "every evaluation (--eval_every)"
            )
        steps = sorted(pictures)
        rows = []
        for step in spread.some(steps, _ROWS.value):
            picture = tf.io.decode_png(pictures[step]).numpy()
            label = np.full((picture.shape[0], 90, 3), 255, np.uint8)
            cv2.putText(
                label,
                f"{step}",
                (6, 30),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.6,
                (40, 40, 40),
                1,
                cv2.LINE_AA,
            )
            rows.append([np.concatenate([label, picture], axis=1)])
        output.write_picture("timeline.png", grids.grid(rows))
        output.log()
        logging.info("rows of the picture: steps %s", ", ".join(map(str, steps)))


if __name__ == "__main__":
    cli.run(main)
