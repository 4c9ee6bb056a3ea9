"""What a trained network knows of parts, or of figure and ground: a classifier of pixels on top of it.

    python tools/segment.py --run_dir=runs/fse --data=helen --classes=10 --merge=10:0 --output=runs/parts
    python tools/segment.py --run_dir=runs/birds --data=cub --classes=2 --num_images=100 --output=runs/figures

`--data` holds `train/`, `test/` and perhaps `validation/`, each with `images/` and `labels/` (PNG of the same names, a
number for each pixel; 0 is the background). Of a run of FSE, the trunk is trained from scratch, with its first three
convolutions frozen, and fine-tuned (HELEN's protocol). Of a model of features, a run or an export, a 1x1 convolution
tells the foreground by the network before training, by the trained one, and by that fine-tuned (a run alone). After
each epoch the validation images are measured, and the best epoch counts. Prints the IoU of the foreground (all classes
but 0, the mean over images) and the share of pixels with the right class, first those of the mean training mask;
writes segmentation.json and segmentation.png.
"""

import numpy as np
from absl import flags, logging

from tf_landmarks import cli, results, spread
from tf_landmarks.errors import UserError

_RUN_DIR = flags.DEFINE_string(
    "run_dir",
    None,
    "a run of FSE or of a method of features, or an export of the latter",
    required=True,
)
_DATA = flags.DEFINE_string("data", None, "see above", required=True)
_CLASSES = flags.DEFINE_integer("classes", None, "classes, counted from 0", required=True)
_MERGE = flags.DEFINE_list("merge", [], "class:class, the first counts as the second")
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", 0, "so many labelled images are drawn for training; 0: all", lower_bound=0
)
_VALIDATION = flags.DEFINE_float(
    "validation_share",
    0.2,
    "of the training images, kept to choose the epoch where there is no validation/; 0: the last epoch",
    lower_bound=0.0,
    upper_bound=0.9,
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", 0, "passes over the training images; 0: 30 of a trunk, 2000 of a mask", lower_bound=0
)
_SEED = flags.DEFINE_integer("seed", 0, "of weights and of the choice of images", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, trains in each way, measures, writes."""
    with cli.plain_errors():
        from tf_landmarks.evaluation import segmentation, segmented

        output = results.ResultFolder(_OUTPUT.value, ["segmentation.json", "segmentation.png"])
        merge = [tuple(map(int, _pair(word))) for word in _MERGE.value]
        parts = segmented.read_parts(
            _DATA.value, merge, _NUM_IMAGES.value, _VALIDATION.value, _SEED.value
        )
        largest = max(int(labels.max()) for part in parts if part for labels in part.labels)
        if largest >= _CLASSES.value:
            raise UserError(
                f"--classes={_CLASSES.value}, and a label map holds {largest}; raise it, or --merge"
            )
        outcomes, scores = {}, {}
        for found in segmentation.run(
            _RUN_DIR.value, parts, _CLASSES.value, _EPOCHS.value, _SEED.value
        ):
            outcomes[found.mode] = found
            scores[found.mode] = own = segmentation.score(found, parts)
            epochs = len(found.validation_percent)
            chosen = f", epoch {found.best_epoch} of {epochs} was best" if epochs else ""
            logging.info(
                "%-9s foreground IoU %6.2f %%, %6.2f %% of pixels%s",
                found.mode, own.foreground_iou, own.pixel_accuracy, chosen,
            )  # fmt: skip
        output.write_json("segmentation.json", _facts(parts, outcomes, scores))
        output.write_picture("segmentation.png", _draw(parts.test, outcomes))
        output.log()
        logging.info("rows of the picture: images, labels, %s", ", ".join(outcomes))


def _facts(parts, outcomes, scores) -> dict:
    return {
        "foreground_iou_percent": {mode: own.foreground_iou for mode, own in scores.items()},
        "pixel_accuracy_percent": {mode: own.pixel_accuracy for mode, own in scores.items()},
        "validation_percent": {m: o.validation_percent for m, o in outcomes.items()},
        "best_epoch": {mode: found.best_epoch for mode, found in outcomes.items()},
        "num_train": len(parts.train),
        "num_validation": len(parts.validation or []),
        "num_test": len(parts.test),
    }


def _draw(test, outcomes) -> np.ndarray:
    """Some test images with their labels and what was found, a row each."""
    from tf_landmarks.visualize import grids, overlays

    palette = np.array([overlays.color(k) for k in range(_CLASSES.value)], np.uint8)
    palette[0] = 255
    chosen = spread.evenly(len(test), 8)
    rows = [[test.images[i] for i in chosen], [palette[test.labels[i]] for i in chosen]]
    rows += [[palette[found.maps[i]] for i in chosen] for found in outcomes.values()]
    return grids.grid(rows)


def _pair(word: str) -> list[str]:
    sides = word.split(":")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise UserError(f"--merge: {word!r} must be class:class, two numbers")
    return sides


if __name__ == "__main__":
    cli.run(main)
