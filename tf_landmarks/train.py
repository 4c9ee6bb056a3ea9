"""Trains a method on images without labels; the same command again resumes.

python -m tf_landmarks.train --flagfile=configs/cpu_imm.cfg --data=my_images --run_dir=runs/mine
"""

from absl import flags as absl_flags
from absl import logging

from tf_landmarks import cli, flags

_DRY_RUN = absl_flags.DEFINE_bool(
    "dry_run",
    False,
    "make a few steps, say what memory, time and space the run takes, write nothing",
)


def main(_) -> None:
    """Parses flags, trains, exports."""
    with cli.plain_errors():
        from tf_landmarks.serving import saved_model
        from tf_landmarks.training import dry_run, strategy, trainer

        run, options = flags.build()
        run = cli.settled(run)
        trainer.check(run, options)
        if _DRY_RUN.value:
            for line in dry_run.estimate(run, options):
                logging.info("%s", line)
            return
        logging.info("run directory: %s", run.run_dir)
        trainer.train(run, options)
        if strategy.is_chief():
            logging.info("exported to %s", saved_model.export_run(run.run_dir))


if __name__ == "__main__":
    flags.define(absl_flags.FLAGS)
    cli.run(main)
