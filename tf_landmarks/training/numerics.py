"""Finding out why a step had losses or gradients that are not finite.

A batch is a pure function of the seed and the step, and a failed step leaves the weights as they were:
the step can be made again, slowly, and looked at.
"""

import re
import traceback

import numpy as np
import tensorflow as tf

from tf_landmarks.methods.base import Model

_PACKAGE = "tf_landmarks"


def explain(model: Model, batch: dict[str, tf.Tensor], names: list[str]) -> str:
    """Names the first tensor of a step that is not finite, and the images it came from.

    Args:
        model: As it was before the step.
        batch: What it was trained on.
        names: The files of the batch.

    Returns:
        The facts and the remedy, in words.
    """
    where = _first_bad(model, batch)
    files = ", ".join(names[:64]) + (f" and {len(names) - 64} more" if len(names) > 64 else "")
    return (
        f"{where}. The batch's images: {files}. The last checkpoint is kept; try a lower learning rate "
        "or --precision=float32, and look at these images if it stays"
    )


def _first_bad(model: Model, batch: dict[str, tf.Tensor]) -> str:
    for name, values in batch.items():
        if values.dtype.is_floating and not _is_finite(values):
            return f"the batch's {name} is not finite"
    for variable in model.trainable_variables:  # the step itself has spoilt moving statistics
        if not _is_finite(variable):
            return f"the weight {variable.name} is not finite"
    losses, gradients = model.compute_gradients(batch)
    terms = {
        **losses.terms,
        **{f"the total of {name}": total for name, total in losses.totals.items()},
    }
    bad = [name for name, value in terms.items() if not _is_finite(value)]
    if bad:
        return (
            f"{', '.join(bad)} {'is' if len(bad) == 1 else 'are'} not finite{_origin(model, batch)}"
        )
    for variable, gradient in zip(model.trained_variables, gradients, strict=True):
        if not _is_finite(gradient):
            return f"the gradient of {variable.name} is not finite{_origin(model, batch)}"
    return "made again alone, the step is finite: the numbers of several replicas differ from one's"


def _origin(model: Model, batch: dict[str, tf.Tensor]) -> str:
    """Which operation was the first, and on which line of this package."""
    tf.debugging.enable_check_numerics()
    try:
        model.compute_gradients(batch)
    except tf.errors.InvalidArgumentError as error:
        operation = re.search(r"op \"?(\w+)", str(error))
        lines = [f for f in traceback.extract_tb(error.__traceback__) if _PACKAGE in f.filename]
        if operation and lines:
            file = lines[-1].filename.split(f"{_PACKAGE}/", 1)[-1]
            return f", first in {operation[1]} ({file}, line {lines[-1].lineno})"
    finally:
        tf.debugging.disable_check_numerics()
    return ""


def _is_finite(values) -> bool:
    return bool(np.all(np.isfinite(np.asarray(values, np.float64))))
