"""Learns to draw pictures from landmarks and noise; the same command again resumes.

python -m tf_landmarks.generate --flagfile=configs/cpu_generation.cfg --data=my_images \\
    --generation_detector=runs/lmdis --run_dir=runs/drawn

Ends with samples.png in the run directory: a row for each image, with its landmarks first, then pictures
drawn from these landmarks and other noise in each column.
"""

import os

from absl import flags as absl_flags
from absl import logging

from tf_landmarks import cli, flags, methods
from tf_landmarks.options import RunOptions

DEFAULTS = RunOptions(method="generation", image_size=80, batch_size=16, steps=100_000)


def main(_) -> None:
    """Parses flags, trains, draws."""
    with cli.plain_errors():
        from tf_landmarks.figures import samples
        from tf_landmarks.methods import generation
        from tf_landmarks.training import strategy, trainer

        run, options = flags.build()
        run = cli.settled(run)
        trainer.check(run, options)
        generation.check_geometry(run.geometry, options)
        logging.info("run directory: %s", run.run_dir)
        trainer.train(run, options)
        if strategy.is_chief():
            path = os.path.join(run.run_dir, "samples.png")
            samples.write(path, run, options)
            logging.info("wrote %s", path)


if __name__ == "__main__":
    flags.define(absl_flags.FLAGS, methods.GENERATION, DEFAULTS)
    cli.run(main)
