"""Trains a method on images without labels; the same command again resumes.

python -m tf_landmarks.train --flagfile=configs/cpu_imm.cfg --data=my_images --run_dir=runs/mine
"""

import dataclasses
import os
import sys

from absl import flags as absl_flags
from absl import logging

from tf_landmarks import entry, flags


def main(_) -> None:
    """Parses flags, trains, exports."""
    with entry.plain_errors():
        from tf_landmarks.serving import writer
        from tf_landmarks.training import loop, strategy

        run, options = flags.build()
        run = dataclasses.replace(
            run,
            run_dir=run.run_dir or _default_run_dir(run.method, run.data),
            precision=strategy.resolve_precision(run.precision),
        )
        loop.check(run, options)
        logging.info("run directory: %s", run.run_dir)
        loop.train(run, options)
        logging.info("exported to %s", writer.export_run(run.run_dir))


def _default_run_dir(method: str, data: str) -> str:
    """`runs/<flagfile>_<data>`, so that the same command finds its run again."""
    prefix = "--flagfile="
    files = [a.removeprefix(prefix) for a in sys.argv if a.startswith(prefix)]
    name = os.path.splitext(os.path.basename(files[-1]))[0] if files else method
    return os.path.join("runs", f"{name}_{os.path.basename(os.path.normpath(data))}")


if __name__ == "__main__":
    flags.define(absl_flags.FLAGS)
    entry.run(main)
