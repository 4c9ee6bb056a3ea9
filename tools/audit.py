"""Shows the labels that a model disagrees with, the worst first: slips, exchanged sides, or the model's own faults.

    python tools/audit.py --model=runs/named --data=my_data --output=runs/named/audit

Writes audit.csv, a row for each label: its distance to what the model says, in pixels and as a multiple of what is usual
for that landmark, and the landmark that it may have been exchanged with; and audit.png, the worst as pictures (ring: the
label, dot: the model). A model with the annotations' names is taken as it is, though it has learned from them; of others a map to the
labels is fitted, without the images that are looked at.
"""

import csv
import io

import numpy as np
from absl import flags, logging

from tf_landmarks import cli, results

_MODEL = flags.DEFINE_string("model", None, "an export folder, or a run folder", required=True)
_DATA = flags.DEFINE_string(
    "data", None, "annotated images, or a folder with train/; several with commas", required=True
)
_CROP = cli.define_crop_flags()
_COUNT = flags.DEFINE_integer("count", 16, "labels to show as pictures", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, compares, writes, prints the worst."""
    with cli.plain_errors():
        from tf_landmarks.data import labelled
        from tf_landmarks.evaluation import audit
        from tf_landmarks.figures import audit as pictures
        from tf_landmarks.inference.exported import ExportedModel

        output = results.ResultFolder(_OUTPUT.value, ["audit.csv", "audit.png"])
        model = ExportedModel(_MODEL.value)
        model.check_sees_what_it_is_given()
        images = labelled.read_part(_DATA.value, "train")
        crop = _CROP(model)
        predicted = audit.predict(model, images.cropped(crop))
        if boxes := crop.boxes_of(images.paths):
            predicted += np.array([box.corner for box in boxes])[:, np.newaxis]
        found = audit.disagreements(predicted, images.points, images.sizes)
        rows = audit.table(found, images, predicted)
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        output.write_text("audit.csv", text.getvalue())
        worst = found[: _COUNT.value]
        sheet = pictures.draw(worst, images, predicted)
        sheet.savefig(output.path_of("audit.png"))
        logging.info(
            "held %d labels against the model; the furthest off, of which audit.png shows %d and audit.csv all:",
            len(found), len(worst),
        )  # fmt: skip
        for file, landmark, *_, distance, times, other in rows[1:4]:
            doubt = f"; exchanged with {other}?" if other else ""
            logging.info(
                "%s, %s: %s px, %s times the usual%s", file, landmark, distance, times, doubt
            )
        output.log()


if __name__ == "__main__":
    cli.run(main)
