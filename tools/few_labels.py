"""Error by the number of labelled images, of several models and of their rivals, in one picture.

    python tools/few_labels.py --models=runs/fse,runs/lmdis,runs/imm --data=my_data \\
        --normalizer=nose,tail --supervised=unet --output=runs/few_labels

All get the same labelled images. A model that finds points needs them for a linear map alone, one that yields
features for a head; a ridge reads its map off the
image itself; a supervised network is trained from scratch on them, warped at random (minutes each on one
core). Writes few_labels.png and few_labels.json.
"""

import dataclasses

from absl import flags, logging

from tf_landmarks import cli, results
from tf_landmarks.evaluation import head_kinds

_MODELS = flags.DEFINE_list("models", None, "export folders, or run folders", required=True)
_DATA = flags.DEFINE_string(
    "data", None, "a folder with train/ and test/ and annotations", required=True
)
_NORMALIZER = flags.DEFINE_string("normalizer", "edge", "as for tools/evaluate.py")
_PROTOCOL = flags.DEFINE_string(
    "protocol",
    "nearer",
    "as for tools/evaluate.py; nearer: weighted means of points, or a linear map",
)
_COUNTS = flags.DEFINE_list("counts", ["1", "5", "10", "20", "100", "all"], "numbers of labels")
_REPEATS = flags.DEFINE_integer("repeats", 10, "draws of each number of labels", lower_bound=1)
_HEAD = flags.DEFINE_enum(
    "head", "auto", head_kinds.KINDS,
    "what is fitted to the labels on a model that yields features; auto: the better one of prototype and ridge "
    "on labelled images left out; below 10, prototype",
)  # fmt: skip
_HEAD_REPEATS = flags.DEFINE_integer(
    "head_repeats", 3, "draws of models with a head", lower_bound=1
)
_FLIP_PAIRS = flags.DEFINE_string("flip_pairs", "", "as for tools/evaluate.py")
_RIVALS = flags.DEFINE_list("rivals", ["pixels", "hog"], "as for tools/evaluate.py")
_SUPERVISED = flags.DEFINE_list(
    "supervised",
    ["unet"],
    "networks: unet, A, B, semisupervised (what tf_landmarks.fit trains), or empty",
)
_SUPERVISED_REPEATS = flags.DEFINE_integer("supervised_repeats", 3, "their draws", lower_bound=1)
_STEPS = flags.DEFINE_integer("supervised_steps", None, "as for tools/evaluate.py", lower_bound=1)
_ROTATION = flags.DEFINE_float("supervised_rotation", None, "as for tools/evaluate.py")
_SEED = flags.DEFINE_integer("seed", 0, "of draws and trainings", lower_bound=0)
_CROP = cli.define_crop_flags()
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, measures, draws."""
    with cli.plain_errors():
        from tf_landmarks.data import labelled
        from tf_landmarks.evaluation import (
            few_labels,
            landmark_regression,
            protocols,
            rivals,
            supervised,
        )
        from tf_landmarks.evaluation.yardstick import make_yardstick
        from tf_landmarks.inference.exported import ExportedModel
        from tf_landmarks.visualize import charts

        protocol = protocols.resolve(_PROTOCOL.value)
        output = results.ResultFolder(_OUTPUT.value, ["few_labels.json", "few_labels.png"])
        counts = few_labels.parse_counts(_COUNTS.value)
        ridges = rivals.ridges(_RIVALS.value)
        networks = [supervised.make(n, _STEPS.value, _ROTATION.value) for n in _SUPERVISED.value]
        models = [ExportedModel(path) for path in _MODELS.value]
        for model in models:
            model.check_sees_what_it_is_given()
        train, test = labelled.read_splits(_DATA.value, "test", crop=_CROP(*models))
        protocol = protocol.with_flip_pairs(_FLIP_PAIRS.value, test.names)
        scores = {}
        for path, model in zip(_MODELS.value, models, strict=True):
            name = f"{path}: {model.facts['method'].upper()}"
            name += f" ({len(scores) + 1})" * (name in scores)
            scores[name] = landmark_regression.measure_few_labels(
                model, train, test, _NORMALIZER.value, protocol, counts,
                _REPEATS.value if model.yields == "landmarks" else _HEAD_REPEATS.value,
                _SEED.value, _HEAD.value,
            )  # fmt: skip
            _log(name, scores[name])
        yardstick = make_yardstick(models[0].geometry, test, _NORMALIZER.value, protocol)
        for rival in (*ridges, *networks):
            repeats = _SUPERVISED_REPEATS.value if rival in networks else _REPEATS.value
            measured = rivals.few_label_scores(
                rival, train, test, models[0].geometry, yardstick, counts, repeats, _SEED.value
            )
            scores[rival.title] = list(measured)
            _log(rival.title, scores[rival.title])
        rows = {k: [dataclasses.asdict(s) for s in v] for k, v in scores.items()}
        output.write_json("few_labels.json", rows)
        series = {name: few_labels.series(found) for name, found in scores.items()}
        charts.means_with_spread(
            series, {}, "labelled images", f"error (NME), % of {_NORMALIZER.value}"
        ).savefig(output.path_of("few_labels.png"), dpi=150)
        output.log()


def _log(name: str, scores: list) -> None:
    logging.info("%s: %s", name, ", ".join(f"{s.n}: {s.mean:.1f}±{s.std:.1f}" for s in scores))


if __name__ == "__main__":
    cli.run(main)
