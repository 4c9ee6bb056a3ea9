"""Prints what networks for dense features take: parameters, their size, counted memory, and a measured peak.

    python tools/memory.py --networks=hourglass,resnet18,resnet50 --batch_size=8

"memory" is the published convention for one image (layers/activation_memory.py). What is measured is another thing: the
largest resident memory of a process of its own that makes two training steps (forwards and backwards, of a batch, on
CPU, without losses, optimizers or a second encoder), beside its largest before the first step. Some of what it had
taken by then was free again, so that steps may need more than the difference.
"""

import json
import resource
import subprocess
import sys

from absl import flags

from tf_landmarks import cli
from tf_landmarks.errors import UserError

_NETWORKS = flags.DEFINE_list("networks", [], "which; all if not given")
_SIZE = flags.DEFINE_integer("image_size", 96, "side of images, pixels", lower_bound=32)
_BATCH = flags.DEFINE_integer("batch_size", 8, "images of a step", lower_bound=1)
_PEAK_OF = flags.DEFINE_string("peak_of", None, "measure this one in this process, print JSON")

_HEADINGS = (
    *("network", "parameters (M)", "size (MB)", "memory (MB)"),
    *("measured peak (MiB)", "before steps (MiB)"),
)


def main(_) -> None:
    """Counts, measures, prints."""
    with cli.plain_errors():
        from tf_landmarks.layers import activation_memory

        names = [_PEAK_OF.value] if _PEAK_OF.value else _NETWORKS.value
        unknown = [name for name in names if name not in activation_memory.NETWORKS]
        if unknown:
            known = ", ".join(activation_memory.NETWORKS)
            raise UserError(f"--networks={','.join(unknown)}: they are {known}")
        if _SIZE.value % 32:
            raise UserError(f"--image_size={_SIZE.value} is not a multiple of 32; give one")
        if _PEAK_OF.value:
            print(json.dumps(measure_peak(_PEAK_OF.value)))
            return
        print(f"{_SIZE.value} px; memory for one image, measured in steps of {_BATCH.value}")
        print(" | ".join(_HEADINGS))
        for name in names or activation_memory.NETWORKS:
            print(" | ".join(row(name)), flush=True)


def row(name: str) -> list[str]:
    """One line of the table."""
    from tf_landmarks.layers import activation_memory

    subject = activation_memory.make_subject(name)
    elements = activation_memory.count_elements(subject, _SIZE.value)
    command = [sys.executable, __file__, f"--peak_of={name}"]
    command += [f"--image_size={_SIZE.value}", f"--batch_size={_BATCH.value}"]
    # Its largest memory ever is all that a system tells of a process, so that each network has one.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"--networks={name}: the measuring process failed: {done.stderr[-2000:]}")
    measured = json.loads(done.stdout.splitlines()[-1])
    values = (
        subject.parameters / 1e6,
        activation_memory.weights_mib(subject.parameters),
        activation_memory.activation_mib(elements),
    )
    return [
        name.ljust(13),
        *(f"{value:.2f}" for value in values),
        f"{measured['peak_mib']:.0f}",
        f"{measured['before_steps_mib']:.0f}",
    ]


def measure_peak(name: str) -> dict[str, float]:
    """Makes two training steps; the process' largest resident memory before and after them."""
    import tensorflow as tf

    from tf_landmarks.layers import activation_memory

    subject = activation_memory.make_subject(name)

    def step(images: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(subject.forward(images, training=True) ** 3)
        return tape.gradient(total, subject.weights)

    images = tf.random.stateless_normal([_BATCH.value, _SIZE.value, _SIZE.value, 3], [0, 0])
    graph = tf.function(step, autograph=False).get_concrete_function(images)
    before = _largest_mib()
    for _ in range(2):
        graph(images)
    return {"peak_mib": _largest_mib(), "before_steps_mib": before}


def _largest_mib() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of bytes, or of KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    cli.run(main)
