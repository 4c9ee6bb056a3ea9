"""Finds the moving object in videos or images, as a table of boxes that --boxes takes, and shows them.

    python tools/find_boxes.py --data=walks --output=boxes
    python -m tf_landmarks.fit --data=walks --boxes=boxes/boxes.csv

The camera stands still; the background is the median of some pictures, and the object what differs most from it. This is
what --crop=auto does by itself. Writes boxes.csv (file,frame,left,top,width,height in pixels; correct it where it is
wrong) and boxes.png, some pictures with their boxes.
"""

import numpy as np
from absl import flags

from tf_landmarks import cli, results
from tf_landmarks.data import moving_object

_DATA = flags.DEFINE_string(
    "data", None, "a video, a folder of videos or of images, a pattern, or a .txt of paths", required=True
)  # fmt: skip
_FRAMES = flags.DEFINE_string(
    "frames", "", "of each video or stack, the frames to take, start:stop:step; all if empty"
)
_MARGIN = flags.DEFINE_float(
    "margin", moving_object.MARGIN,
    "how far a box reaches beyond the object on each side, in units of the object's extent",
    lower_bound=0.0,
)  # fmt: skip
_COUNT = flags.DEFINE_integer("count", 12, "pictures that are shown", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, finds, writes."""
    with cli.plain_errors():
        from tf_landmarks.data import boxes, cropping, sources
        from tf_landmarks.visualize import grids, overlays

        output = results.ResultFolder(_OUTPUT.value, ["boxes.csv", "boxes.png"])
        source = sources.open_source(_DATA.value, prefer_train=False, frames=_FRAMES.value)
        found = cropping.Cropping("auto", margin=_MARGIN.value).boxes_of_source(source, "--data")
        rows = [row for row, box in enumerate(found) if box]
        boxes.write_table(
            output.path_of("boxes.csv"), [source.names[row] for row in rows], [found[row] for row in rows]
        )  # fmt: skip
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(_COUNT.value, len(rows))).round())
        shown = [rows[int(place)] for place in chosen]
        pictures = [overlays.draw_box(source.read(row), found[row]) for row in shown]
        output.write_picture("boxes.png", grids.wrap(pictures, 3))
        output.log()


if __name__ == "__main__":
    cli.run(main)
