"""Measures an exported model on annotated images, against two baselines.

    python -m tf_landmarks.evaluate --model=runs/mine/export --data=my_data --normalizer=head,abdomen

`--data` holds `train/` (where the linear regressor from discovered to annotated landmarks is fitted) and
`test/` (where it is measured). Prints a table; writes metrics.json, report.html and
overview.png.
"""

import os

from absl import flags, logging

from tf_landmarks import cli, results

_MODEL = flags.DEFINE_string("model", None, "an export folder, or a run folder", required=True)
_DATA = flags.DEFINE_string(
    "data", None, "a folder with train/ and test/ and annotations", required=True
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["test", "validation"],
    "measure on test/, or on the images of train/ that training held out",
)  # fmt: skip
_CROP = cli.define_crop_flags()
_NORMALIZER = flags.DEFINE_string(
    "normalizer", "edge",
    "errors are in percent of this length: edge (the network input's side), box (the longer side of what the labelled "
    "points span), or the distance of two landmarks, for instance head,abdomen",
)  # fmt: skip
_PCK = flags.DEFINE_list(
    "pck", [],
    "tell the percentage of correct keypoints too, those within these shares of --pck_normalizer, for instance 0.05,0.1; "
    "birds: as published for birds (Cheng et al. 2021)",
)  # fmt: skip
_PCK_NORMALIZER = flags.DEFINE_string(
    "pck_normalizer",
    "",
    "of --pck, as --normalizer, which it is if not given; MMPose's bbox is box",
)
_PROTOCOL = flags.DEFINE_string(
    "protocol",
    "auto",
    "form of the regressor: linear; barycentric, weighted means of points, for few labels; nearer, the better one of the two on labelled "
    "images left out; or a paper's: imm, ...; auto: none where the model's landmarks have the annotations' names (see tf_landmarks.fit), "
    "else linear",
)
_BIAS = flags.DEFINE_bool(
    "bias", None, "whether the regressor has an intercept; default: the protocol's"
)
_RIDGE = flags.DEFINE_string("ridge", None, "auto, or a number; default: the protocol's")
_ORIGIN = flags.DEFINE_string("origin", None, "centre or top_left; default: the protocol's")
_SEED = flags.DEFINE_integer("seed", 0, "of the bootstrap and the few-label draws", lower_bound=0)
_OVERLAP = flags.DEFINE_bool(
    "allow_training_images", False, "measure even on images that were trained on"
)
_FLIP_PAIRS = flags.DEFINE_string(
    "flip_pairs", "",
    "left:right landmarks with commas (or human36m), where these cannot be told apart: errors are those "
    "against the nearer of annotation and mirrored annotation",
)  # fmt: skip
_RIVALS = flags.DEFINE_list(
    "rivals", ["pixels", "hog"],
    "ridges on the image itself to show beside the model, of the same labels: pixels, hog. Empty for none: hog takes "
    "12 kB and more for each labelled image, several times over",
)  # fmt: skip
_SUPERVISED = flags.DEFINE_list(
    "supervised", [],
    "networks to train on the same labels, beside --rivals: unet (from scratch, the "
    "strongest rival, minutes on one core), A, B; semisupervised (what tf_landmarks.fit trains: where not all of "
    "train/ is labelled or drawn, all of it without its labels, too)",
)  # fmt: skip
_SUPERVISED_STEPS = flags.DEFINE_integer(
    "supervised_steps", None, "steps of their training; default: the network's own (600 of unet and semisupervised, 1500 of the latter where all images have labels; else 500)",
    lower_bound=1,
)  # fmt: skip
_SUPERVISED_ROTATION = flags.DEFINE_float(
    "supervised_rotation", None,
    "standard deviation of the rotation of their training images, degrees; default: the network's own (15 of "
    "unet). Objects that lie in any direction need 180",
)  # fmt: skip
_OUTPUT = flags.DEFINE_string("output", "", "where to write; <run>/evaluation if not given")


def main(_) -> None:
    """Parses flags, evaluates, prints and writes."""
    with cli.plain_errors():
        from tf_landmarks.data import labelled
        from tf_landmarks.evaluation import (
            landmark_regression,
            named_points,
            pck_scores,
            rivals,
            supervised,
        )
        from tf_landmarks.inference.exported import ExportedModel
        from tf_landmarks.metrics import advice
        from tf_landmarks.report import panels, report, text

        asked = _asked_protocol()
        pck = pck_scores.parse(_PCK.value, _PCK_NORMALIZER.value or _NORMALIZER.value)
        ridges = rivals.ridges(_RIVALS.value)
        networks = [
            supervised.make(name, _SUPERVISED_STEPS.value, _SUPERVISED_ROTATION.value)
            for name in _SUPERVISED.value
        ]
        model = ExportedModel(_MODEL.value)
        model.check_finds_landmarks()
        model.check_sees_what_it_is_given()
        folder = _OUTPUT.value or os.path.join(model.path, "..", "..", "evaluation")
        output = results.ResultFolder(
            os.path.normpath(folder), ["metrics.json", "report.html", "overview.png"]
        )
        train, test = labelled.read_splits(
            _DATA.value, _SPLIT.value, model.known_images("validation"), _CROP(model)
        )
        size = model.geometry.size
        if small := advice.of_small_object(test.to_network(model.geometry, test.points), size):
            logging.warning("%s", small)
        protocol = asked or named_points.protocol_for(model.landmark_names, test.names)
        protocol = protocol.with_flip_pairs(_FLIP_PAIRS.value, test.names)
        result = landmark_regression.evaluate(
            model, train, test, _NORMALIZER.value, protocol, _SEED.value, _OVERLAP.value,
            others=(*ridges, *networks), pck=pck,
        )  # fmt: skip
        for line in text.table(result):
            logging.info("%s", line)
        output.write_json("metrics.json", result.metrics)
        output.write_text("report.html", report.render(model, result))
        output.write_picture("overview.png", panels.overview(result))
        output.log()


def _asked_protocol():
    """The protocol that flags name; None where they leave it to the model."""
    from tf_landmarks.evaluation import protocols

    name, changes = _PROTOCOL.value, (_BIAS.value, _RIDGE.value, _ORIGIN.value)
    if name == "auto" and changes == (None, None, None):
        return None
    return protocols.resolve("linear" if name == "auto" else name, *changes)


if __name__ == "__main__":
    cli.run(main)
