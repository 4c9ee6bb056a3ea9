"""Run as a script: a Gaussian of shapes that two logical CPUs learn, each from half of the images, written to a file.

    python shapes_on_replicas.py FOLDER

`found.npz` holds the `shapes` and their `confidence`, and each replica's own `mean` and `covariance` after two batches.
"""

import sys

import numpy as np

from tf_landmarks.layers.shape_prior import ShapePrior
from tf_landmarks.training.strategy import make_strategy

# isort: split
import tensorflow as tf


def main(folder: str) -> None:
    """Learns from two batches on each replica."""
    strategy = make_strategy("mirrored", replicas=2, batch_size=2)
    draw = np.random.default_rng(0)
    shapes = draw.normal(0, 0.3, (2, 2, 5, 3, 2)).astype(np.float32)  # [batch, replica, image, ...]
    confidence = draw.uniform(0.2, 1, (2, 2, 5, 3)).astype(np.float32)
    with strategy.scope():
        prior = ShapePrior(3, momentum=0.6)
    step = tf.function(lambda *values: prior.observe(*values), autograph=False)
    for batch in zip(shapes, confidence, strict=True):
        values = [
            strategy.experimental_distribute_values_from_function(
                lambda context, halves=halves: tf.constant(halves[context.replica_id_in_sync_group])
            )
            for halves in batch
        ]
        strategy.run(step, args=values)
    found = {
        name: np.stack(strategy.experimental_local_results(getattr(prior, name)))
        for name in ("mean", "covariance")
    }
    np.savez(f"{folder}/found.npz", shapes=shapes, confidence=confidence, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
