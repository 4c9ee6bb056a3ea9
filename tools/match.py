"""Finds a few points of one image in all images of a folder, or in a video, and says how sure each is.

    python tools/match.py --model=runs/mine --image=a.jpg --points=70.5,36:65,96 --names=nose,tail \\
        --data=new_images --output=runs/mine/matches
    python tools/match.py --model=runs/mine --table=my_data/train/landmarks.csv --data=walk.mp4 --output=walked

For models of methods that learn descriptors. Writes matches.csv (of each point x, y, similarity in [-1, 1];
agreement: what is found is looked for in the reference in its turn, and may end some pixels beside the point; ratio
in [0, 1]: 1 where a second place is as much like the point; and by how many degrees the references were turned, see --turns), overlays/ (pictures or videos; hollow markers: the two
ways do not agree, or there is such a second place) and matches.png (a sheet, with the least sure
images). A table gives as references all its images, up to 32, or the one that --image names. Where --data has
annotations of the same names, their errors are printed.
"""

from absl import flags, logging

from tf_landmarks import cli, results

_MODEL = flags.DEFINE_string("model", None, "an export folder, or a run folder", required=True)
_IMAGE = flags.DEFINE_string(
    "image",
    "",
    "the picture that --points are pixels of, or one of --table; a video's frame is walk.mp4#000012",
)
_POINTS = flags.DEFINE_string(
    "points", "", "x,y:x,y in pixels, (0, 0) the centre of the top-left one"
)
_TABLE = flags.DEFINE_string("table", "", "annotations instead: a file of any kind, or a folder")
_NAMES = flags.DEFINE_list("names", [], "of --points; or which points of --table to take")
_DATA = flags.DEFINE_string("data", None, "images or videos, a file or a folder", required=True)
_FRAMES = flags.DEFINE_string(
    "frames", "", "of each video or stack, the frames to take, start:stop:step; all if empty"
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    0.1,
    "both ways agree if they end within this share of what the reference's points span (of one point, of the image)",
    lower_bound=0.0,
)
_MOST_RATIO = flags.DEFINE_float(
    "most_ratio",
    0.8,
    "markers are hollow where the ratio is above; 1: it does not count. What tells right from wrong differs by model",
    lower_bound=0.0,
    upper_bound=1.0,
)
_TURNS = flags.DEFINE_integer(
    "turns",
    12,
    "in how many directions the references are looked for, turned by equal angles; 1: as they lie, which is faster and a little "
    "better where all objects lie alike",
    lower_bound=1,
)
_NORMALIZER = flags.DEFINE_string("normalizer", "edge", "of errors, as for tools/evaluate.py")
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, matches, writes."""
    with cli.plain_errors():
        from tf_landmarks.data import sources
        from tf_landmarks.evaluation import point_transfer, references, transfer_scores
        from tf_landmarks.figures import matches
        from tf_landmarks.inference.exported import ExportedModel

        output = results.ResultFolder(_OUTPUT.value, [*point_transfer.FILES, "matches.png"])
        known = references.open_references(_IMAGE.value, _POINTS.value, _TABLE.value, _NAMES.value)
        source = sources.open_source(_DATA.value, prefer_train=False, frames=_FRAMES.value)
        model = ExportedModel(_MODEL.value)
        model.say_if_cropped()
        transfer = point_transfer.PointTransfer(
            model, known, _TOLERANCE.value, _MOST_RATIO.value, _TURNS.value
        )
        certainty = transfer_scores.Certainty(known.names, _TOLERANCE.value)
        errors = transfer_scores.KnownErrors(source, known, model.geometry, _NORMALIZER.value)
        sheet = matches.Sheet(known, len(source))
        found, failed = point_transfer.transfer_all(
            transfer, source, _OUTPUT.value, [certainty.add, errors.add, sheet.add]
        )
        logging.info("matched %d images, %d could not be read", found, failed)
        lines = [*certainty.lines(), transfer_scores.turned_line(transfer), *errors.lines()]
        for line in lines:
            logging.info("%s", line)
        sheet.draw().savefig(output.path_of("matches.png"))
        logging.info("wrote matches.csv, overlays/ and matches.png in %s", _OUTPUT.value)


if __name__ == "__main__":
    cli.run(main)
