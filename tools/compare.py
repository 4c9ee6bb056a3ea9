"""Several models on the same annotated images, side by side: a table, and one picture.

    python tools/compare.py --models=runs/fse,runs/lmdis --data=my_data --normalizer=nose,tail \\
        --output=runs/compared

Each is measured as by tools/evaluate.py. Writes compare.png (landmarks found; below them annotated points as
red dots, predicted ones as rings in the colour of their error) and compare.json.
"""

from absl import flags, logging

from tf_landmarks import cli, results

_MODELS = flags.DEFINE_list("models", None, "export folders, or run folders", required=True)
_DATA = flags.DEFINE_string(
    "data", None, "a folder with train/ and test/ and annotations", required=True
)
_NORMALIZER = flags.DEFINE_string("normalizer", "edge", "as for tools/evaluate.py")
_PROTOCOL = flags.DEFINE_string("protocol", "linear", "as for tools/evaluate.py")
_FLIP_PAIRS = flags.DEFINE_string("flip_pairs", "", "as for tools/evaluate.py")
_LIMBS = flags.DEFINE_string(
    "limbs", "", "annotated points to join by lines: hip:knee,knee:foot, or human36m"
)
_COLUMNS = flags.DEFINE_integer(
    "columns", 8, "images in the picture, from the first model's best to its worst", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "of the bootstrap", lower_bound=0)
_CROP = cli.define_crop_flags()
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, measures, draws."""
    with cli.plain_errors():
        from tf_landmarks.data import labelled, skeletons
        from tf_landmarks.evaluation import landmark_regression, protocols
        from tf_landmarks.figures import comparison
        from tf_landmarks.inference.exported import ExportedModel

        protocol = protocols.resolve(_PROTOCOL.value)
        output = results.ResultFolder(_OUTPUT.value, ["compare.json", "compare.png"])
        models = [ExportedModel(path) for path in _MODELS.value]
        for model in models:
            model.check_finds_landmarks()
        train, test = labelled.read_splits(_DATA.value, "test", crop=_CROP(*models))
        protocol = protocol.with_flip_pairs(_FLIP_PAIRS.value, test.names)
        limbs = skeletons.parse_limbs(_LIMBS.value, test.names)
        found = {}
        for path, model in zip(_MODELS.value, models, strict=True):
            method, step = model.facts["method"].upper(), model.facts["step"]
            name = f"{path}: {method}, {model.num_landmarks} landmarks, step {step}"
            name += f" ({len(found) + 1})" * (name in found)
            found[name] = landmark_regression.evaluate(
                model, train, test, _NORMALIZER.value, protocol, _SEED.value
            )
            low, high = found[name].metrics["nme_interval_percent"]
            score = found[name].metrics["nme_percent"]
            logging.info("%s: %.2f %% (95 %% interval %.2f to %.2f)", name, score, low, high)
        output.write_json("compare.json", {name: result.metrics for name, result in found.items()})
        comparison.draw(found, limbs, _COLUMNS.value).savefig(output.path_of("compare.png"))
        output.log()


if __name__ == "__main__":
    cli.run(main)
