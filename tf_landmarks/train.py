"""Trains a method on images without labels; the same command again resumes.

python -m tf_landmarks.train --flagfile=configs/cpu_imm.cfg --data=my_images --run_dir=runs/mine

Methods that find landmarks end with an export; colorization with a loss network for --imm_loss_network,
generation with a sheet of samples.
"""

from absl import flags as absl_flags
from absl import logging

from tf_landmarks import cli, flags

_DRY_RUN = absl_flags.DEFINE_bool(
    "dry_run",
    False,
    "make a few steps, say what memory, time and space the run takes, write nothing",
)
#: What `--help` shows.
KEY_FLAGS = {
    "Images": ["data", "frames"],
    "What is learned": ["method", "num_landmarks", "image_size"],
    "How long": ["steps", "batch_size", "dry_run"],
    "Results": ["run_dir", "validation_fraction", "save_every"],
}


def main(_) -> None:
    """Parses flags, trains, writes what the run is for."""
    with cli.plain_errors():
        from tf_landmarks import artifacts
        from tf_landmarks.training import dry_run, strategy, trainer

        run, options = flags.build()
        run = cli.with_defaults(run)
        if not absl_flags.FLAGS["data"].present:
            logging.info(
                "no --data is given: %s learns from faces that are drawn, %s steps of %d images of %d pixels; "
                "--data=FOLDER takes your own images, --dry_run says how long it takes",
                run.method, f"{run.steps:,}", run.batch_size, run.image_size,
            )  # fmt: skip
        trainer.check(run, options)
        if _DRY_RUN.value:
            for line in dry_run.estimate(run, options):
                logging.info("%s", line)
            return
        logging.info("run directory: %s", run.run_dir)
        data = trainer.train(run, options)
        if strategy.is_chief():
            artifacts.finish(run, data)


if __name__ == "__main__":
    flags.define(absl_flags.FLAGS)
    cli.run(main, KEY_FLAGS)
