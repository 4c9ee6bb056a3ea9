"""How right faces are that a model draws in the pose of others, beside the true drawings.

    python tools/measure_exchange.py --models=runs/c3_before,runs/c3 --output=runs/exchange

For models with a generator that were trained on drawn faces (--data=made_faces), whose looks and poses can be drawn in
any pairing. The faces are others than those of training. Writes exchange.json.
"""

from absl import flags, logging

from tf_landmarks import cli, results

_MODELS = flags.DEFINE_list(
    "models", None, "export folders, or run folders, with commas", required=True
)
_NUM_PAIRS = flags.DEFINE_integer("num_pairs", 200, "of faces", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of the faces", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, measures, prints and writes."""
    with cli.plain_errors():
        from tf_landmarks.evaluation import exchanged_faces
        from tf_landmarks.inference.exported import ExportedModel

        output = results.ResultFolder(_OUTPUT.value, ["exchange.json"])
        measured = {}
        for path in _MODELS.value:
            errors = exchanged_faces.measure(ExportedModel(path), _NUM_PAIRS.value, _SEED.value)
            logging.info("%s", errors.line(path))
            measured[path] = errors._asdict()
        output.write_json("exchange.json", measured)
        output.log()


if __name__ == "__main__":
    cli.run(main)
