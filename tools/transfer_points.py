"""How far off points of one image are found in another, of a different object, by a model that matches or describes places.

    python tools/transfer_points.py --model=runs/mine --data=my_data --normalizer=left_eye,right_eye --output=runs/mine/transfer
    python tools/transfer_points.py --model=runs/mine --pairs=pf-pascal/image_pairs/test_pairs.csv --output=runs/mine/alignment

`--data` holds annotated images, in `test/` if there is one. Pairs are drawn; annotated points of the second image are carried to
the first, and their distance from the annotations there is told in percent of the normaliser, beside that of the most alike features
alone, of the network before training, and of points that stay where they are. Of a model that finds landmarks it is told as well
how far its landmarks of the second image, carried to the first, are from those it finds there (consistency): to compare models by
that, name one and the same `--flow`. `--pairs` is a list of pairs with points as PF-PASCAL has, of which the percentage of
correct keypoints is told. Writes transfer.json.
"""

from absl import flags, logging

from tf_landmarks import cli, results

_MODEL = flags.DEFINE_string("model", None, "an export folder, or a run folder", required=True)
_DATA = flags.DEFINE_string("data", None, "annotated images, or a folder with test/")
_PAIRS = flags.DEFINE_string(
    "pairs", None, "a list of image pairs with points, CSV, in place of --data"
)
_FLOW = flags.DEFINE_string(
    "flow", None, "an export or a run that carries points in place of --model; --model itself if not given"
)  # fmt: skip
_NORMALIZER = flags.DEFINE_string("normalizer", "edge", "as for tools/evaluate.py")
_NUM_PAIRS = flags.DEFINE_integer("num_pairs", 500, "of images of --data", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of the pairs", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, measures, prints and writes."""
    with cli.plain_errors():
        from tf_landmarks.data import labelled, pf_pascal
        from tf_landmarks.errors import UserError
        from tf_landmarks.evaluation import pair_transfer, semantic_alignment
        from tf_landmarks.evaluation.carriers import Carrier
        from tf_landmarks.inference.exported import ExportedModel

        if (_DATA.value is None) == (_PAIRS.value is None):
            raise UserError(
                "give --data, annotated images, or --pairs, a list of pairs; one of them"
            )
        output = results.ResultFolder(_OUTPUT.value, ["transfer.json"])
        model = ExportedModel(_MODEL.value)
        model.say_if_cropped()
        carrier = Carrier(ExportedModel(_FLOW.value), "flow") if _FLOW.value else Carrier(model)
        if _PAIRS.value:
            measured = semantic_alignment.measure(carrier, pf_pascal.read_pairs(_PAIRS.value))
        else:
            images = labelled.read_part(_DATA.value, "test")
            pair_transfer.check(images)
            pairs = pair_transfer.draw_pairs(len(images), _NUM_PAIRS.value, _SEED.value)
            measured = pair_transfer.measure(model, carrier, images, pairs, _NORMALIZER.value)
        for line in measured.lines():
            logging.info("%s", line)
        output.write_json("transfer.json", measured.to_json())
        output.log()


if __name__ == "__main__":
    cli.run(main)
