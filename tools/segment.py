"""What a trained FSE network knows of parts: its trunk with a classifier per pixel (HELEN's protocol).

    python tools/segment.py --run_dir=runs/fse --data=helen --classes=10 --merge=10:0 --output=runs/parts

`--data` holds `train/` and `test/`, each with `images/` and `labels/` (PNG of the same names, a number
for each pixel). Trains from scratch, with the first three convolutions frozen, and with all fine-tuned;
prints the share of pixels with the right class; writes segmentation.json and segmentation.png.
"""

import os

import numpy as np
from absl import flags, logging

from tf_landmarks import cli, results
from tf_landmarks.errors import UserError

_RUN_DIR = flags.DEFINE_string("run_dir", None, "a run of FSE", required=True)
_DATA = flags.DEFINE_string("data", None, "see above", required=True)
_CLASSES = flags.DEFINE_integer("classes", None, "classes, counted from 0", required=True)
_MERGE = flags.DEFINE_list("merge", [], "class:class, the first counts as the second")
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", 0, "train on so many images; 0: all", lower_bound=0
)
_EPOCHS = flags.DEFINE_integer("epochs", 30, "passes over the training images", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of weights and of the choice of images", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, trains three times, measures, writes."""
    with cli.plain_errors():
        from tf_landmarks.evaluation import segmentation
        from tf_landmarks.visualize import grids, overlays

        output = results.ResultFolder(_OUTPUT.value, ["segmentation.json", "segmentation.png"])
        merge = [tuple(map(int, _pair(word))) for word in _MERGE.value]
        train, test = (
            segmentation.read_split(os.path.join(_DATA.value, split), merge)
            for split in ("train", "test")
        )
        largest = max(int(labels.max()) for part in (train, test) for labels in part.labels)
        if largest >= _CLASSES.value:
            raise UserError(
                f"--classes={_CLASSES.value}, and a label map holds {largest}; raise it, or --merge"
            )
        if _NUM_IMAGES.value:
            rows = np.random.RandomState(_SEED.value).permutation(len(train))[: _NUM_IMAGES.value]
            train = segmentation.SegmentedImages(
                [train.images[i] for i in rows], [train.labels[i] for i in rows]
            )
        how = segmentation.Training(_EPOCHS.value)
        accuracies, found = {}, {}
        for mode in segmentation.MODES:
            network = segmentation.load(_RUN_DIR.value, mode)
            model = segmentation.train(network, mode, train, _CLASSES.value, how, _SEED.value)
            found[mode] = segmentation.predict(model, test)
            accuracies[mode] = segmentation.pixel_accuracy(found[mode], test.labels)
            logging.info("%s: %.2f %% of pixels", mode, accuracies[mode])
        facts = {"epochs": how.epochs, "num_train": len(train), "num_test": len(test)}
        output.write_json("segmentation.json", {"pixel_accuracy_percent": accuracies, **facts})
        palette = np.array([overlays.color(k) for k in range(_CLASSES.value)], np.uint8)
        palette[0] = 255
        chosen = np.linspace(0, len(test) - 1, min(8, len(test))).round().astype(int)
        rows = [[test.images[i] for i in chosen], [palette[test.labels[i]] for i in chosen]]
        rows += [[palette[maps[i]] for i in chosen] for maps in found.values()]
        output.write_picture("segmentation.png", grids.grid(rows))
        output.log()
        logging.info("rows of the picture: images, labels, %s", ", ".join(found))


def _pair(word: str) -> list[str]:
    sides = word.split(":")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise UserError(f"--merge: {word!r} must be class:class, two numbers")
    return sides


if __name__ == "__main__":
    cli.run(main)
