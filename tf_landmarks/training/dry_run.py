"""What a run will take, measured by a few steps that leave no trace: memory, time, space on disk."""

import resource
import sys
import time

import tensorflow as tf

from tf_landmarks import methods
from tf_landmarks.augment import sampling
from tf_landmarks.methods.base import Model
from tf_landmarks.options import RunOptions
from tf_landmarks.training import models, strategy, trainer
from tf_landmarks.training.checkpoints import KEPT
from tf_landmarks.training.input_pipeline import ImageSet
from tf_landmarks.training.run_data import RunData

STEPS = 5
_MIB = 2.0**20


@tf.autograph.experimental.do_not_convert
def estimate(run: RunOptions, options) -> list[str]:
    """Makes some steps on the run's own images and says what all of it will take.

    With several replicas, one makes its share of a batch here; what they exchange is not counted.

    Args:
        run: The run's options, checked, with a definite precision.
        options: The method's options.

    Returns:
        Lines of text.

    Raises:
        UserError: If the data cannot be used.
    """
    devices = trainer.make_strategy(run)
    replicas = devices.num_replicas_in_sync
    tf.keras.utils.set_random_seed(run.seed)
    strategy.set_precision(run.precision)
    sampling.select(run.sampler)
    data = RunData(run, methods.MODELS[run.method].check_images)
    model = models.make_model(run, options)
    data.check_stages(model.stages)
    planned = trainer.plan(run, model)
    lines, total = [], 0.0
    for stage, steps in planned:
        model.start_stage(stage, steps, run.accumulation_steps)
        waiting, working = _time_steps(
            model, iter(data.training_batches(stage, 0, shard=(0, replicas)))
        )
        seconds = max(waiting, working)
        total += steps * seconds
        slower = "reading images" if waiting > working else "the networks"
        name = f"stage {stage.name}: " if len(planned) > 1 else ""
        lines.append(
            f"{name}a step takes {seconds:.3g} s ({run.batch_size / seconds:.3g} images/s); {slower} set "
            "the pace"
        )
        lines.append(f"{name}{steps:,} steps take {_duration(steps * seconds)}")
    if len(planned) > 1:
        lines.append(f"all stages take {_duration(total)}")
    weights = sum(v.shape.num_elements() * v.dtype.size for v in model.variables) / _MIB
    # Adam keeps two numbers for each weight; temporary ones of an evaluation come on top.
    checkpoint = 3 * weights
    return [
        f"{run.method}: {model.num_parameters:,} parameters, {run.precision}, {replicas} replica(s) of "
        f"{run.batch_size // replicas} images",
        *lines,
        f"memory: {_memory()}, of which {_images(data.training)}",
        f"disk: {(KEPT + 1) * checkpoint + 2 * weights:.0f} MiB for checkpoints and export",
    ]


def _time_steps(model: Model, batches) -> tuple[float, float]:
    """Seconds that the input takes for a batch, by itself, and the networks for a step."""
    step = tf.function(model.train_step, autograph=False)
    batch = next(batches)
    step(batch)  # builds the graph
    for _ in range(STEPS):  # what was prepared ahead
        next(batches)
    began = time.monotonic()
    for _ in range(STEPS):
        next(batches)
    read = time.monotonic()
    for _ in range(STEPS):
        step(batch)
    done = time.monotonic()
    return (read - began) / STEPS, (done - read) / STEPS


def _memory() -> str:
    """The peak so far, on the device that computes."""
    if tf.config.list_physical_devices("GPU"):
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return f"{peak / _MIB:,.0f} MiB on each GPU"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{peak / (_MIB if sys.platform == 'darwin' else 1024.0):,.0f} MiB"


def _images(images: ImageSet) -> str:
    if not images.in_memory:
        return "none for images, which are read as they are needed (--cache_mib)"
    side = images.geometry.load_size
    return (
        f"{len(images.indices) * side * side * 3 / _MIB:,.0f} MiB for {len(images.indices)} images"
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
