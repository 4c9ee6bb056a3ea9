"""Run as a script: one strategy's gradients on a given batch, written to a file.

    python replicas.py METHOD STAGE 'OPTIONS AS JSON' BATCHES.npz OUT.npz one|mirrored|multi_worker [sync]

A process of its own, because TensorFlow takes only one set-up of logical devices in its lifetime, and
a second MirroredStrategy over CPUs ends it. `BATCHES.npz` holds one array per key of a batch with a
leading axis of replicas; "one" joins that axis to a single batch unless the replicas' are equal.
"""

import json
import sys

import numpy as np
import tensorflow as tf

from tests.conformance import cases
from tf_landmarks.training import strategy


def main(
    method: str,
    stage: str,
    options_json: str,
    batches_path: str,
    out_path: str,
    kind: str,
    sync: str = "",
) -> None:
    """Computes and writes the gradients, under their variables' positions."""
    batches = dict(np.load(batches_path))
    replicas = len(next(iter(batches.values())))
    batch_size = sum(len(b) for b in next(iter(batches.values())))
    chosen = strategy.make_strategy(kind, replicas, batch_size)
    tf.keras.utils.set_random_seed(5)
    case = cases.Case(method, json.loads(options_json))
    with chosen.scope():
        model = case.model(sync_batch_norm=bool(sync))
        model.start_stage(model.stages[int(stage)], 10)

    @tf.function
    def gradients(batch):
        return model.compute_gradients(batch)[1]

    if kind == "one":
        same = all(np.array_equal(b[0], b[-1]) for b in batches.values())
        joined = {k: b[0] if same else b.reshape(-1, *b.shape[2:]) for k, b in batches.items()}
        result = gradients({key: tf.constant(b) for key, b in joined.items()})
    else:
        values = chosen.experimental_distribute_values_from_function(
            lambda context: {
                key: tf.constant(b[context.replica_id_in_sync_group]) for key, b in batches.items()
            }
        )

        @tf.function
        def summed(values):
            per_replica = chosen.run(gradients, args=(values,))
            return [chosen.reduce("SUM", gradient, axis=None) for gradient in per_replica]

        result = summed(values)
    names = [variable.name for variable in model.trained_variables]
    if strategy.is_chief():
        np.savez(
            out_path, names=np.array(names), **{str(i): g.numpy() for i, g in enumerate(result)}
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
