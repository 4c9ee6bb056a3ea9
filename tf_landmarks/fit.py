"""Teaches a trained model the landmarks of your own annotations, and exports it so that it answers with their names.

    python -m tf_landmarks.fit --model=runs/mine --data=my_data
    python -m tf_landmarks.predict --model=runs/mine/named --input=new_images --output=found

`--data` holds annotated images, in `train/` if there is one. Of a model that yields features a head is fitted (see
`--head`), of one that finds points a linear map; the model itself stays as it was learned. What is written is an export
as training writes it, with the untrained network and a head of its own to compare with.
"""

import os

from absl import flags, logging

from tf_landmarks import cli, results
from tf_landmarks.errors import UserError

_MODEL = flags.DEFINE_string("model", None, "a run folder", required=True)
_DATA = flags.DEFINE_string(
    "data", None, "annotated images, or a folder with train/", required=True
)
_HEAD = flags.DEFINE_enum(
    "head", "auto", ["auto", "prototype", "ridge", "heatmap", "virtual_points"],
    "what is fitted to features: prototype, the mean descriptor of each landmark, found again (one labelled image is "
    "enough); ridge, a linear map of all features, averaged to 8 x 8 cells; heatmap, a small convolution (many minutes); "
    "virtual_points, as published; auto: prototypes below 150 labelled images, a ridge from there on",
)  # fmt: skip
_PROTOCOL = flags.DEFINE_string(
    "protocol", "linear", "form of the map from discovered points, as for tools/evaluate.py"
)
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", 0, "fit to so many labelled images, drawn by --seed; 0: all", lower_bound=0
)
_SEED = flags.DEFINE_integer("seed", 0, "of the draw and of the fit", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", "", "where to write; <model>/named if not given")


def main(_) -> None:
    """Parses flags, fits, exports, says what comes next."""
    with cli.plain_errors():
        from tf_landmarks.evaluation import naming, protocols
        from tf_landmarks.inference.exported import ExportedModel
        from tf_landmarks.serving import saved_model

        folder = _OUTPUT.value or os.path.join(_MODEL.value, "named")
        output = results.ResultFolder(folder, ["[0-9]*"])
        if not os.path.isdir(os.path.join(_MODEL.value, "checkpoints")):
            raise UserError(
                f"--model={_MODEL.value} is no run folder; a fit needs one, with its checkpoints"
            )
        model = ExportedModel(_MODEL.value)
        images = naming.read_labelled(_DATA.value, _NUM_IMAGES.value, _SEED.value)
        protocol = protocols.resolve(_PROTOCOL.value)
        heads = naming.fit_heads(model, images, _HEAD.value, protocol, _SEED.value)
        path = saved_model.export_named(_MODEL.value, heads, output.path_of(""))
        logging.info(
            "%s head, fitted to %d labelled images, finds %s",
            heads[0].kind, len(images), ", ".join(images.names),
        )  # fmt: skip
        logging.info(
            "exported to %s; predict, serve and tools/evaluate.py take it as any model", path
        )


if __name__ == "__main__":
    cli.run(main)
