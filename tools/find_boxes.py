"""Finds the moving object in videos or images, as a table of boxes that --boxes takes, and shows them.

    python tools/find_boxes.py --data=walks --output=boxes
    python -m tf_landmarks.fit --data=walks --boxes=boxes/boxes.csv

The camera stands still; the background is the median of some pictures, and the object what differs most from it. This is
what --crop=auto does by itself. Writes boxes.csv (file,frame,left,top,width,height in pixels; correct it where it is
wrong) and boxes.png, some pictures with their boxes.

A server sees single pictures and no background. A network that finds the boxes there learns them from `--pictures`:

    python tools/find_boxes.py --data=walks --pictures=200 --output=boxes
    python -m tf_landmarks.fit --data=boxes/pictures --rotation=0 --output=runs/finder
    python -m tf_landmarks.export --run_dir=runs/named --finder=runs/finder --output=/models/mine
"""

from absl import flags

from tf_landmarks import cli, results, spread
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
_PICTURES = flags.DEFINE_integer(
    "pictures", 0, "so many pictures, spread over all, are written small with the corners of their boxes as landmarks, to "
    "pictures/: python -m tf_landmarks.fit learns to find boxes from them", lower_bound=0,
)  # fmt: skip
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, finds, writes."""
    with cli.plain_errors():
        from tf_landmarks.data import boxes, cropping, sources
        from tf_landmarks.inference import labelling
        from tf_landmarks.visualize import grids, overlays

        learned = [f"pictures/{name}" for name in labelling.BOXED_FILES] if _PICTURES.value else []
        output = results.ResultFolder(_OUTPUT.value, ["boxes.csv", "boxes.png", *learned])
        source = sources.open_source(_DATA.value, prefer_train=False, frames=_FRAMES.value)
        found = cropping.Cropping("auto", margin=_MARGIN.value).boxes_of_source(source, "--data")
        rows = [row for row, box in enumerate(found) if box]
        boxes.write_table(
            output.path_of("boxes.csv"), [source.names[row] for row in rows], [found[row] for row in rows]
        )  # fmt: skip
        shown = spread.some(rows, _COUNT.value)
        pictures = [overlays.draw_box(source.read(row), found[row]) for row in shown]
        output.write_picture("boxes.png", grids.wrap(pictures, 3))
        if chosen := spread.some(rows, _PICTURES.value):
            labelling.write_boxed(
                output.path_of("pictures"), source, chosen, [found[row] for row in chosen]
            )
        output.log()


if __name__ == "__main__":
    cli.run(main)
