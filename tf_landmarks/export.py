"""Writes a run's latest checkpoint as a SavedModel.

python -m tf_landmarks.export --run_dir=runs/quickstart_made_faces --output=/models/faces
"""

from absl import flags, logging

from tf_landmarks import cli

_RUN_DIR = flags.DEFINE_string("run_dir", None, "the run to export", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", "", "folder for the version folder; <run_dir>/export if not given"
)


def main(_) -> None:
    """Parses flags, exports, says where."""
    with cli.plain_errors():
        from tf_landmarks.serving import saved_model

        logging.info(
            "exported to %s", saved_model.export_run(_RUN_DIR.value, _OUTPUT.value or None)
        )


if __name__ == "__main__":
    cli.run(main)
