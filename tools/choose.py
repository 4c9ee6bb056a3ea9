"""Chooses the images of a folder, or the frames of a video, that are worth labelling, and prepares them for that.

    python tools/choose.py --data=walk.mp4 --names=nose,tail --count=20 --output=to_label
    python tools/choose.py --model=runs/named --data=walk.mp4 --leave_out=to_label --output=to_label_next

Images that differ are chosen, by a model's landmarks or features or, without one, by their pixels; and of a model that
says how sure it is of its landmarks, images of which it is least sure. Writes images/, landmarks.csv to fill in (blank:
a point that is not seen), labels.slp to label in SLEAP, and chosen.png. A model that knows people's names for its landmarks
proposes where they are: in labels.slp, and in proposals/ as COCO keypoints, as DeepLabCut's labels, and as pictures. Any of
these files, filled in or corrected and put beside images/, is read by python -m tf_landmarks.fit --data=to_label.
"""

import shlex

from absl import flags, logging

from tf_landmarks import cli, results

_MODEL = flags.DEFINE_string(
    "model", "none", "an export folder, or a run folder; none: images are told apart by pixels"
)
_DATA = flags.DEFINE_string("data", None, "images or videos, a file or a folder", required=True)
_FRAMES = flags.DEFINE_string(
    "frames", "", "of each video or stack, the frames to take, start:stop:step; all if empty"
)
_COUNT = flags.DEFINE_integer("count", 20, "images to choose", lower_bound=1)
_NAMES = flags.DEFINE_list("names", [], "of the landmarks to label; the model's, if it has some")
_CANDIDATES = flags.DEFINE_integer(
    "candidates", 2000, "images to choose from, spread evenly over --data", lower_bound=1
)
_LEAVE_OUT = flags.DEFINE_list(
    "leave_out", [], "folders of images that are labelled already, such as earlier outputs"
)
_CROP = cli.define_crop_flags()
_SEED = flags.DEFINE_integer("seed", 0, "of the choice", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, chooses, writes, says what to do next."""
    with cli.plain_errors():
        import numpy as np

        from tf_landmarks.data import fingerprints, sources
        from tf_landmarks.evaluation import choosing
        from tf_landmarks.inference import labelling
        from tf_landmarks.inference.exported import ExportedModel

        results.ResultFolder(_OUTPUT.value, labelling.FILES)
        source = sources.open_source(_DATA.value, prefer_train=False, frames=_FRAMES.value)
        known = []
        for folder in _LEAVE_OUT.value:
            others = sources.open_source(folder, flag="--leave_out", prefer_train=False)
            known += fingerprints.of_source(others, np.arange(len(others)))
        model = None if _MODEL.value == "none" else ExportedModel(_MODEL.value)
        names = labelling.landmark_names(_NAMES.value, model)
        crop = _CROP(*filter(None, [model]))
        boxes = crop.boxes_of_source(source, "--data")
        candidates = choosing.look(source, model, _CANDIDATES.value, known, boxes)
        logging.info(
            "looked at %d images; %d are known already or there twice, %d could not be read",
            len(candidates.indices) + candidates.num_left_out + candidates.num_unreadable,
            candidates.num_left_out, candidates.num_unreadable,
        )  # fmt: skip
        chosen = choosing.choose(candidates, _COUNT.value, _SEED.value)
        for line in labelling.write(_OUTPUT.value, source, chosen, names, model, boxes):
            logging.info("%s", line)
        given = {"frames": _FRAMES.value, "boxes": crop.table}
        given["crop"] = crop.crop if crop.crop != "none" else ""
        more = [f"--{name}={value}" for name, value in given.items() if value]
        labelled = ",".join([*_LEAVE_OUT.value, _OUTPUT.value])
        fit = ["python", "-m", "tf_landmarks.fit", f"--data={labelled}"]
        logging.info(
            "label them in labels.slp with SLEAP, or fill in landmarks.csv; then %s",
            shlex.join([*fit, f"--unlabelled={_DATA.value}", *more]),
        )


if __name__ == "__main__":
    cli.run(main)
