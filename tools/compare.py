"""Several models on the same annotated images, side by side: a table, and one picture.

    python tools/compare.py --models=runs/fse,runs/lmdis --data=my_data --normalizer=nose,tail \\
        --output=runs/compared

Each is measured as by tools/evaluate.py. Writes compare.png (landmarks found; below them annotated points as
red dots, predicted ones as rings in the colour of their error) and compare.json; of models with a generator
exchanged.png (the looks of pictures in the poses of others: nothing else of these should be seen); with --flow
consistency.png (landmarks carried from one picture to another by that flow, with lines to those found there).
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
_FLOW = flags.DEFINE_string(
    "flow", "", "an export or a run that carries the landmarks of all models: one that matches or describes places"
)  # fmt: skip
_COLUMNS = flags.DEFINE_integer(
    "columns", 8, "images in the picture, from the first model's best to its worst", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "of the bootstrap", lower_bound=0)
_CROP = cli.define_crop_flags()
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


_FILES = ("compare.json", "compare.png", "exchanged.png", "consistency.png")


def main(_) -> None:
    """Parses flags, measures, draws."""
    with cli.plain_errors():
        from tf_landmarks.data import labelled, skeletons
        from tf_landmarks.evaluation import landmark_regression, pair_transfer, protocols
        from tf_landmarks.evaluation.carriers import Carrier
        from tf_landmarks.figures import comparison
        from tf_landmarks.inference.exported import ExportedModel

        protocol = protocols.resolve(_PROTOCOL.value)
        output = results.ResultFolder(_OUTPUT.value, _FILES)
        models = [ExportedModel(path) for path in _MODELS.value]
        carrier = Carrier(ExportedModel(_FLOW.value), "flow") if _FLOW.value else None
        for model in models:
            model.check_finds_landmarks()
            model.check_sees_what_it_is_given()
        train, test = labelled.read_splits(_DATA.value, "test", crop=_CROP(*models))
        protocol = protocol.with_flip_pairs(_FLIP_PAIRS.value, test.names)
        limbs = skeletons.parse_limbs(_LIMBS.value, test.names)
        found, named = {}, {}
        for path, model in zip(_MODELS.value, models, strict=True):
            method, step = model.facts["method"].upper(), model.facts["step"]
            name = f"{path}: {method}, {model.num_landmarks} landmarks, step {step}"
            name += f" ({len(found) + 1})" * (name in found)
            named[name] = model
            found[name] = landmark_regression.evaluate(
                model, train, test, _NORMALIZER.value, protocol, _SEED.value
            )
            low, high = found[name].metrics["nme_interval_percent"]
            score = found[name].metrics["nme_percent"]
            logging.info("%s: %.2f %% (95 %% interval %.2f to %.2f)", name, score, low, high)
        output.write_json("compare.json", {name: result.metrics for name, result in found.items()})
        comparison.draw(found, limbs, _COLUMNS.value).savefig(output.path_of("compare.png"))
        pairs = pair_transfer.draw_pairs(len(test), _COLUMNS.value, _SEED.value)
        exchanged = comparison.exchanged(named, test, pairs)
        if exchanged:
            exchanged.savefig(output.path_of("exchanged.png"))
        if carrier:
            agreement = comparison.consistency(named, carrier, test, pairs)
            agreement.savefig(output.path_of("consistency.png"))
        output.log()


if __name__ == "__main__":
    cli.run(main)
