"""Run as a script: `python -m tf_landmarks.train` with the toys among the methods, killed after a step.

    python train_toy.py KILL_AFTER FLAGS...

KILL_AFTER is the step after which the process kills itself, once all that is due at that step was done; 0: never.
"""

import os
import signal
import sys

import tensorflow as tf
from absl import flags as absl_flags

from tests.conformance import toys  # noqa: F401
from tf_landmarks import cli, flags, train
from tf_landmarks.training import callbacks


def main() -> None:
    """Trains."""
    tf.config.run_functions_eagerly(True)  # many short runs; test_stages.py has one with graphs
    kill_after = int(sys.argv.pop(1))
    save = callbacks.SaveCheckpoint.on_step

    def save_and_die(self, step, logs):
        save(self, step, logs)
        if step == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    callbacks.SaveCheckpoint.on_step = save_and_die
    flags.define(absl_flags.FLAGS)
    cli.run(train.main)


if __name__ == "__main__":
    main()
