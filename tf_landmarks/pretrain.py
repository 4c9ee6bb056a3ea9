"""Learns a loss network from colour images without labels; the same command again resumes.

python -m tf_landmarks.pretrain --flagfile=configs/cpu_pretrain.cfg --data=my_images --run_dir=runs/colours
python -m tf_landmarks.train --flagfile=configs/cpu_imm.cfg --data=my_images \\
    --imm_loss=balanced --imm_loss_network=runs/colours/loss_network.npz
"""

from absl import flags as absl_flags
from absl import logging

from tf_landmarks import cli, flags, methods
from tf_landmarks.options import RunOptions

# Crops of 128 of 160 pixels; the verdict needs images that were not trained on.
DEFAULTS = RunOptions(
    method="colorization", steps=20_000, crop_fraction=0.8, validation_fraction=0.1
)


def main(_) -> None:
    """Parses flags, trains, writes the network and says what it is worth."""
    with cli.plain_errors():
        from tf_landmarks.training import pretraining, strategy, trainer

        run, options = flags.build()
        run = cli.settled(run)
        trainer.check(run, options)
        logging.info("run directory: %s", run.run_dir)
        pretraining.check_colours(run)
        trainer.train(run, options)
        if strategy.is_chief():
            path = pretraining.write_network(run, options)
            logging.info("loss network: --imm_loss=balanced --imm_loss_network=%s", path)


if __name__ == "__main__":
    flags.define(absl_flags.FLAGS, methods.PRETRAINING, DEFAULTS)
    cli.run(main)
