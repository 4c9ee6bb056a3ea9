"""Pictures of what a model finds; needs no annotations.

    python tools/show.py --model=runs/mine --data=my_data/test --output=runs/mine/pictures

Writes report.html (what is wrong with which points, and what to do next), numbers.png (the number of each
point), landmarks.png (pictures spread over the data), warps.png (the same ones turned and bent: points should
stay on their places), heatmaps.png, score_maps.png (the same before any softmax); of a method with a generator
redrawn.png, exchanged.png (each row has the look of one picture, each column the pose of one) and, where it can,
parts.png: pictures, below them what is drawn of their looks alone, and of their landmarks alone.

Of a model that describes places and finds no landmarks: report.html, components.png (where the principal components
of its features are large, trained and before training) and matches.png (places of one picture, and the most similar
ones of others).
"""

from absl import flags, logging

from tf_landmarks import cli, results, spread

_MODEL = flags.DEFINE_string("model", None, "an export folder, or a run folder", required=True)
_DATA = flags.DEFINE_string(
    "data", None, "images, videos or idx files, as for training; a file or a folder", required=True
)
_FRAMES = flags.DEFINE_string(
    "frames", "", "of each video or stack, the frames to take, start:stop:step; all if empty"
)
_CLASSES = flags.DEFINE_string("classes", "", "of idx files, the labels to show")
_CROP = cli.define_crop_flags()
_COUNT = flags.DEFINE_integer("count", 32, "pictures on the sheet of landmarks", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, draws, writes."""
    with cli.plain_errors():
        from tf_landmarks.data import labelled, sources
        from tf_landmarks.evaluation import discovery
        from tf_landmarks.figures import sheets
        from tf_landmarks.inference.exported import ExportedModel
        from tf_landmarks.report import report

        model = ExportedModel(_MODEL.value)
        files = ["report.html", *(f"{name}.png" for name in sheets.NAMES[model.yields])]
        output = results.ResultFolder(_OUTPUT.value, files)
        source = sources.open_source(
            _DATA.value, prefer_train=False, classes=_CLASSES.value, frames=_FRAMES.value
        )
        source = _CROP(model).apply(source, "--data")
        some = spread.evenly(len(source), _COUNT.value)
        found = discovery.discover(model, labelled.open_unlabelled(source, some))
        for line in found.lines:
            logging.info("health: %s", line)
        output.write_text("report.html", report.render(model, found))
        for name, picture in sheets.draw(model, found).items():
            output.write_picture(f"{name}.png", picture)
        output.log()


if __name__ == "__main__":
    cli.run(main)
