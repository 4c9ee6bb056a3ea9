"""Run as a script: grouped normalisation on two logical CPUs, written to a file.

    python norm_on_replicas.py FOLDER

`found.npz` holds each replica's `rows` and `outputs`, its own running means, and the `mean` of the variable.
"""

import sys

import numpy as np

from tf_landmarks.layers.grouped_norm import GroupedBatchNormalization
from tf_landmarks.training.strategy import make_strategy

# isort: split
import tensorflow as tf


def main(folder: str) -> None:
    """Normalises once on each replica, with other rows."""
    strategy = make_strategy("mirrored", replicas=2, batch_size=2)
    rows = np.random.default_rng(0).normal(size=(2, 4, 3, 3, 2)).astype(np.float32)
    rows += np.arange(8, dtype=np.float32).reshape(2, 4, 1, 1, 1)
    with strategy.scope():
        layer = GroupedBatchNormalization(2)
        layer.build([None, 3, 3, 2])
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(rows[context.replica_id_in_sync_group])
    )
    step = tf.function(lambda value: layer(value, training=True), autograph=False)
    outputs = strategy.experimental_local_results(strategy.run(step, args=(values,)))
    local = strategy.experimental_local_results(layer.moving_mean)
    np.savez(
        f"{folder}/found.npz",
        rows=rows,
        outputs=np.stack(outputs),
        local_means=np.stack(local),
        mean=layer.moving_mean.numpy(),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
