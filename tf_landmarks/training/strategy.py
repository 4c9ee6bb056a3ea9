"""Devices, workers and number formats: what `--strategy`, `--replicas` and `--precision` mean here."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.options import Precision, StrategyName

# What a collective operation raises, of whatever kind, when another worker is no longer there.
WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def make_strategy(name: StrategyName, replicas: int, batch_size: int) -> tf.distribute.Strategy:
    """Makes the distribution strategy; must run before TensorFlow has touched its devices.

    Args:
        name: "one", "mirrored" over GPUs or, where there is none, over `replicas` logical CPUs,
            "multi_worker" over all GPUs (or one CPU) of every machine that `TF_CONFIG` lists, or
            "auto": mirrored where there are several GPUs.
        replicas: How many; 0 means one per GPU.
        batch_size: The global batch, which the replicas share.

    Returns:
        The strategy.

    Raises:
        UserError: If there are fewer devices than replicas, the batch does not divide by them, or
            `TF_CONFIG` is missing or wrong.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "multi_worker":
        return _make_multi_worker(batch_size)
    if name == "auto":
        name = "mirrored" if max(len(gpus), replicas) > 1 else "one"
    if name == "one":
        return tf.distribute.get_strategy()
    count = replicas or len(gpus) or 1
    if gpus and count > len(gpus):
        raise UserError(f"--replicas={count} exceeds the {len(gpus)} GPUs of this machine")
    _check_batch(batch_size, count)
    if gpus:
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(count)])
    (cpu,) = tf.config.list_physical_devices("CPU")[:1]
    with contextlib.suppress(RuntimeError):  # already split, for instance by an earlier run
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    if len(tf.config.list_logical_devices("CPU")) < count:
        raise UserError(
            f"--replicas={count} needs as many logical CPUs, and TensorFlow was already started "
            "with fewer in this process"
        )
    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(count)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def worker() -> tuple[int, int]:
    """This process' place among the workers that `TF_CONFIG` lists, and their number; (0, 1) alone.

    Raises:
        UserError: If `TF_CONFIG` is no such list.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 0, 1
    try:
        config = json.loads(text)
        place, count = int(config["task"]["index"]), len(config["cluster"]["worker"])
        known = config["task"]["type"] == "worker" and 0 <= place < count
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise UserError(
            f"TF_CONFIG={text} is not understood; it takes the form "
            '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
            '"task": {"type": "worker", "index": 0}}, with another index on each machine'
        )
    return place, count


def is_chief() -> bool:
    """Whether this process is the one that writes the run directory."""
    return worker()[0] == 0


@contextlib.contextmanager
def output_folder(run_dir: str) -> Iterator[str]:
    """Where this process writes: the run directory, or a folder that vanishes.

    All workers write, since reading a variable that is shared takes all of them; only what the chief
    writes is kept.
    """
    if is_chief():
        os.makedirs(run_dir, exist_ok=True)
        yield run_dir
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield folder


def resolve_precision(precision: Precision) -> Precision:
    """Chooses what "auto" means: bfloat16 or float16 where the hardware has it, else float32."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        major, _ = tf.config.experimental.get_device_details(gpus[0]).get(
            "compute_capability", (0, 0)
        )
        return "bfloat16" if major >= 8 else "float16" if major == 7 else "float32"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return "bfloat16" if "avx512_bf16" in file.read() else "float32"
    except OSError:
        return "float32"


def set_precision(precision: Precision) -> None:
    """Sets the number format for all layers made from now on; variables stay float32."""
    policy = precision if precision == "float32" else f"mixed_{precision}"
    tf.keras.mixed_precision.set_global_policy(policy)


def _make_multi_worker(batch_size: int) -> tf.distribute.Strategy:
    if "TF_CONFIG" not in os.environ:
        raise UserError(
            "--strategy=multi_worker needs TF_CONFIG, which lists the workers and says which one this "
            "is; WORKSPACE.md has an example"
        )
    worker()
    chosen = tf.distribute.MultiWorkerMirroredStrategy()
    _check_batch(batch_size, chosen.num_replicas_in_sync)
    return chosen


def _check_batch(batch_size: int, replicas: int) -> None:
    if batch_size % replicas:
        raise UserError(f"--batch_size={batch_size} does not divide by {replicas} replicas")
