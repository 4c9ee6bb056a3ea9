"""Writes a run's latest checkpoint as a SavedModel.

    python -m tf_landmarks.export --run_dir=runs/quickstart_made_faces --output=/models/faces
    python -m tf_landmarks.export --run_dir=runs/named --calibrate_on=my_other_data --normalizer=nose,tail

Confidence is how narrow a heatmap is. With annotated images that a network taught by labels has not seen, it becomes the
probability that a landmark is within `--tolerance` of where it should be. `--views=9` takes the mean of what is found in nine
views of each image, shifted, turned and scaled, and tells how far apart these are as `spread`, a second opinion; it takes
nine times as long. `--finder=runs/finder` lets a network that learned from what was cut out of pictures look at whole ones.
"""

import tempfile

from absl import flags, logging

from tf_landmarks import cli
from tf_landmarks.errors import UserError

_RUN_DIR = flags.DEFINE_string("run_dir", None, "the run to export", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", "", "folder for the version folder; <run_dir>/export if not given"
)
_CALIBRATE_ON = flags.DEFINE_string(
    "calibrate_on", "", "annotated images that the network has not seen, whose landmarks it names"
)
_NORMALIZER = flags.DEFINE_string(
    "normalizer", "box", "the length of --tolerance: box, what an image's points span, or as for tools/evaluate.py"
)  # fmt: skip
_TOLERANCE = flags.DEFINE_float(
    "tolerance", 0.05, "how far off, as a share of that length, a landmark is still right", lower_bound=1e-6
)  # fmt: skip
_VIEWS = flags.DEFINE_integer(
    "views", 1, "views of an image of whose landmarks the mean is taken, an odd number", lower_bound=1
)  # fmt: skip
_FINDER = flags.DEFINE_string(
    "finder", "", "a run that finds the boxes of tools/find_boxes.py --pictures in whole pictures: the export cuts the object out of "
    "pictures by itself, for a network that learned with --crop or --boxes",
)  # fmt: skip
_CROP = cli.define_crop_flags()


def main(_) -> None:
    """Parses flags, exports, says where."""
    with cli.plain_errors():
        from tf_landmarks.serving import saved_model
        from tf_landmarks.serving.finder import Finder
        from tf_landmarks.serving.views import Views

        views = Views(_VIEWS.value)
        if _FINDER.value and _CALIBRATE_ON.value:
            raise UserError(
                "--calibrate_on knows the confidence of a network that is given what is cut out, and not with the errors of --finder: "
                "leave one of the two out"
            )
        finder = Finder.of_run(_FINDER.value) if _FINDER.value else None
        calibrated = _calibrate(views) if _CALIBRATE_ON.value else None
        path = saved_model.export_run(
            _RUN_DIR.value, _OUTPUT.value or None, calibrated, views, finder
        )
        logging.info("exported to %s", path)
        if calibrated is not None:
            logging.info("%s", calibrated.words())


def _calibrate(views):
    from tf_landmarks.data import labelled
    from tf_landmarks.evaluation import calibrating
    from tf_landmarks.inference.exported import ExportedModel
    from tf_landmarks.serving import saved_model

    with (
        tempfile.TemporaryDirectory() as folder
    ):  # what the run has exported may be calibrated already
        model = ExportedModel(saved_model.export_run(_RUN_DIR.value, folder, views=views))
        images = labelled.read_part(_CALIBRATE_ON.value, "test", _CROP(model))
        return calibrating.calibrate(model, images, _NORMALIZER.value, _TOLERANCE.value)


if __name__ == "__main__":
    cli.run(main)
