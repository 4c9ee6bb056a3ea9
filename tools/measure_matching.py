"""How far off places are found by their descriptors: the matching test of the papers of DVE and ContrastLandmark.

    python tools/measure_matching.py --model=runs/mine --data=my_data --output=runs/mine/matching

`--data` holds annotated images, in `test/` if there is one; consecutive ones, in the order of their names, make pairs (A, B).
A is warped twice, A and B once; the descriptor at each landmark of the first is looked for in the second, the *same*
object, and in the third, a *different* one. Mean errors are pixels of a frame of 70 x 70, beside those of the network
before training. Writes matching.json. For models of methods that learn descriptors.
"""

from absl import flags, logging

from tf_landmarks import cli, results

_MODEL = flags.DEFINE_string("model", None, "an export folder, or a run folder", required=True)
_DATA = flags.DEFINE_string("data", None, "annotated images, or a folder with test/", required=True)
_MATCHING = flags.DEFINE_enum(
    "matching", "contrast", ["contrast", "dve"],
    "contrast: cosines on a grid as fine as the input (Cheng et al. 2021); dve: inner products of cells (Thewlis et "
    "al. 2019), of one level",
)  # fmt: skip
_EXACT = flags.DEFINE_bool(
    "exact",
    False,
    "move landmarks by the inverse of a warp; else to the nearest pixel, as published",
)
_SHUFFLE = flags.DEFINE_bool(
    "shuffle", False, "pairs at random, where neighbours in the order of names show the same object"
)
_SEED = flags.DEFINE_integer("seed", 0, "of warps and of --shuffle", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, measures, prints and writes."""
    with cli.plain_errors():
        from tf_landmarks.data import labelled
        from tf_landmarks.evaluation import export_matching
        from tf_landmarks.evaluation.matching_protocol import MatchingProtocol
        from tf_landmarks.inference.exported import ExportedModel

        output = results.ResultFolder(_OUTPUT.value, ["matching.json"])
        model = ExportedModel(_MODEL.value)
        model.say_if_cropped()
        images = labelled.read_part(_DATA.value, "test")
        images = export_matching.in_pairs(images, _SHUFFLE.value, _SEED.value)
        protocol = MatchingProtocol(_MATCHING.value, exact=_EXACT.value, seed=_SEED.value)
        measured = export_matching.measure(model, images, protocol)
        for line in measured.lines():
            logging.info("%s", line)
        output.write_json("matching.json", measured.to_json())
        output.log()


if __name__ == "__main__":
    cli.run(main)
