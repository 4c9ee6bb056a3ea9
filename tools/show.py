"""Pictures of what a model finds; needs no annotations.

    python tools/show.py --model=runs/mine --data=my_data/test --output=runs/mine/pictures

Writes landmarks.png (pictures spread over the data), warps.png (the same ones turned and bent: points
should stay on their places), heatmaps.png, and redrawn.png of a method with a generator.
"""

import numpy as np
from absl import flags, logging

from tf_landmarks import cli, results
from tf_landmarks.errors import UserError

_MODEL = flags.DEFINE_string("model", None, "an export folder, or a run folder", required=True)
_DATA = flags.DEFINE_string(
    "data", None, "images, videos or idx files, as for training; a file or a folder", required=True
)
_FRAMES = flags.DEFINE_string(
    "frames", "", "of each video or stack, the frames to take, start:stop:step; all if empty"
)
_CLASSES = flags.DEFINE_string("classes", "", "of idx files, the labels to show")
_COUNT = flags.DEFINE_integer("count", 32, "pictures on the sheet of landmarks", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)

ROWS = 6  # of the other sheets


def main(_) -> None:
    """Parses flags, draws, writes."""
    with cli.plain_errors():
        from tf_landmarks.data import image_files, sources
        from tf_landmarks.figures import model_grids
        from tf_landmarks.inference.exported import ExportedModel

        model = ExportedModel(_MODEL.value)
        names = ("landmarks", "warps", "heatmaps", "redrawn")
        output = results.ResultFolder(_OUTPUT.value, [f"{name}.png" for name in names])
        source = sources.open_source(
            _DATA.value, prefer_train=False, classes=_CLASSES.value, frames=_FRAMES.value
        )
        spread = np.linspace(0, len(source) - 1, min(_COUNT.value, len(source)))
        images = []
        for index in spread.round().astype(int):
            try:
                images.append(source.read(int(index)))
            except image_files.UnreadableImageError as error:
                logging.warning("skipped %s: %s", source.names[index], error)
        if not images:
            raise UserError(f"--data={_DATA.value} holds no image that can be read")
        few = images[:: max(1, len(images) // ROWS)][:ROWS]
        drawn = {
            "landmarks": model_grids.landmarks(model, images),
            "warps": model_grids.warps(model, few),
            "heatmaps": model_grids.maps(model, few),
        }
        if model.has_generator:
            drawn["redrawn"] = model_grids.redrawn(model, images[:16])
        for name, picture in drawn.items():
            output.write_picture(f"{name}.png", picture)
        output.log()


if __name__ == "__main__":
    cli.run(main)
