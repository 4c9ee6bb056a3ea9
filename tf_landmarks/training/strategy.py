"""Devices and number formats: what `--strategy`, `--replicas` and `--precision` mean here."""

import contextlib

import tensorflow as tf

from tf_landmarks.training.options import Precision, StrategyName


def make_strategy(name: StrategyName, replicas: int, batch_size: int) -> tf.distribute.Strategy:
    """Makes the distribution strategy; must run before TensorFlow has touched its devices.

    Args:
        name: "one", "mirrored" over GPUs or, where there is none, over `replicas` logical CPUs, or
            "auto": mirrored where there are several GPUs.
        replicas: How many; 0 means one per GPU.
        batch_size: The global batch, which the replicas share.

    Returns:
        The strategy.

    Raises:
        ValueError: If there are fewer devices than replicas, or the batch does not divide by them.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "mirrored" if max(len(gpus), replicas) > 1 else "one"
    if name == "one":
        return tf.distribute.get_strategy()
    count = replicas or len(gpus) or 1
    if gpus and count > len(gpus):
        raise ValueError(f"--replicas={count} exceeds the {len(gpus)} GPUs of this machine")
    if batch_size % count:
        raise ValueError(f"--batch_size={batch_size} does not divide by {count} replicas")
    if gpus:
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(count)])
    (cpu,) = tf.config.list_physical_devices("CPU")[:1]
    with contextlib.suppress(RuntimeError):  # already split, for instance by an earlier run
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    if len(tf.config.list_logical_devices("CPU")) < count:
        raise ValueError(
            f"--replicas={count} needs as many logical CPUs, and TensorFlow was already started "
            "with fewer in this process"
        )
    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(count)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


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
