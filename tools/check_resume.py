"""Kills a run at random moments until it ends, and compares it with the run uninterrupted, bit by bit.

    python tools/check_resume.py --kills=20

A small model on drawn faces, or any run: --flags='--flagfile=... --data=...' are then the flags of
python -m tf_landmarks.train. Both runs are kept in --output. Ends with code 1 if a weight, an optimizer's variable, a
running mean or a logged loss differs in a single bit.
"""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
from absl import flags, logging

from tf_landmarks import cli, run_directory
from tf_landmarks.errors import UserError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_KILLS = flags.DEFINE_integer("kills", 20, "how often to kill -9", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 600, "length of the run", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of the moments")
_FLAGS = flags.DEFINE_string("flags", "", "flags of the run, if not those of the small one")
_OUTPUT = flags.DEFINE_string("output", "runs/check_resume", "folder of both runs; must be new")

_SMALL = [
    *("--image_size=32", "--num_landmarks=4", "--batch_size=4", "--precision=float32"),
    *("--imm_width=4", "--imm_renderer_width=8", "--imm_renderer_min_width=4"),
    *("--imm_softargmax=joint", "--imm_output_affine", "--imm_loss=balanced"),
    *("--log_every=5", "--eval_every=20", "--validation_fraction=0.1", "--keep_best"),
    "--cache_mib=0",  # drawing all faces takes longer than the run
]


def main(_) -> None:
    """Runs, kills, compares."""
    with cli.plain_errors():
        if os.path.exists(_OUTPUT.value):
            raise UserError(f"--output={_OUTPUT.value} is there already; give a new folder")
        os.makedirs(_OUTPUT.value)
        whole, killed = (os.path.join(_OUTPUT.value, name) for name in ("whole", "killed"))
        extra = shlex.split(_FLAGS.value) or _SMALL
        start, length = _run_whole(whole, extra)
        logging.info("uninterrupted: %.0f s of start, %.0f s of training", start, length)
        _run_with_kills(killed, extra, start)
        different = compare(whole, killed)
        for line in different:
            logging.info("different: %s", line)
        if different:
            sys.exit(1)
        kills = "1 kill" if _KILLS.value == 1 else f"{_KILLS.value} kills"
        logging.info("after %s all is as in the run uninterrupted, bit by bit", kills)


def compare(first: str, second: str) -> list[str]:
    """What differs between two runs, in names: checkpoint variables, exported files, logged losses."""
    import tensorflow as tf

    found = []
    tensors = []
    for folder in (first, second):
        reader = tf.train.load_checkpoint(os.path.join(folder, run_directory.CHECKPOINTS))
        names = reader.get_variable_to_shape_map()
        tensors.append({n: reader.get_tensor(n) for n in names if "OBJECT_GRAPH" not in n})
    for name in sorted(set(tensors[0]) | set(tensors[1])):
        one, two = (np.asarray(t[name]) if name in t else None for t in tensors)
        if one is None or two is None or one.tobytes() != two.tobytes():
            found.append(name)
    exports = [
        sorted(os.listdir(os.path.join(folder, run_directory.EXPORT))) for folder in (first, second)
    ]
    if exports[0] != exports[1]:
        found.append(f"the exported steps, {exports[0]} and {exports[1]}")
    rows = [_losses(folder) for folder in (first, second)]
    # The rate is no result; a row at the first step after each start is logged beside those due.
    for step in sorted(rows[0]):
        if rows[0][step] != rows[1].get(step):
            found.append(f"the losses logged at step {step}")
    return found


def _losses(folder: str) -> dict[int, list[dict]]:
    rows: dict[int, list[dict]] = {}
    with open(os.path.join(folder, run_directory.METRICS), encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if any(name.startswith("val_") for name in row):
                rows.setdefault(row["step"], []).append(row)
    return rows


def _run_whole(folder: str, extra: list[str]) -> tuple[float, float]:
    """Runs once; seconds to the first step and from there to the end."""
    began = time.monotonic()
    process = _start(folder, extra)
    said, first = [], None
    for line in process.stdout:
        said.append(line)
        if first is None and line.startswith("step "):
            first = time.monotonic()
    if process.wait():
        raise UserError(f"the run failed:\n{''.join(said)}")
    return (first or began) - began, time.monotonic() - (first or began)


def _run_with_kills(folder: str, extra: list[str], start: float) -> None:
    moments = random.Random(_SEED.value)
    for kill in range(1, _KILLS.value + 1):
        process = _start(folder, extra)
        if moments.random() < 0.25:  # while it starts, or restores
            time.sleep(moments.uniform(0.0, start))
        else:
            done = _last_checkpoint(folder)
            room = (_STEPS.value - done) / (_KILLS.value - kill + 2)
            _wait_for_step(process, done + moments.uniform(0.0, room))
            time.sleep(moments.uniform(0.0, 0.3))  # between two steps, while it saves, evaluates
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            raise UserError(f"the run ended before kill {kill}; give more --steps")
        process.stdout.close()
        logging.info("kill %d; last checkpoint at step %d", kill, _last_checkpoint(folder))
    process = _start(folder, extra)
    said, _ = process.communicate()
    if process.returncode:
        raise UserError(f"the run failed:\n{said}")


def _wait_for_step(process: subprocess.Popen, step: float) -> None:
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("step ") and int(line.split()[1].split("/")[0]) >= step:
            return
    raise UserError(f"the run ended before step {step:.0f}:\n{''.join(said)}")


def _last_checkpoint(folder: str) -> int:
    try:
        with open(
            os.path.join(folder, run_directory.CHECKPOINTS, "checkpoint"), encoding="utf-8"
        ) as file:
            return int(file.read().split("ckpt-")[1].split('"')[0])
    except FileNotFoundError:
        return 0


def _start(folder: str, extra: list[str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "tf_landmarks.train", f"--run_dir={folder}"]
    fixed = [f"--steps={_STEPS.value}", "--save_every=7", "--deterministic"]
    return subprocess.Popen(
        [*command, *fixed, *extra],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
