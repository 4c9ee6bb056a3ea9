"""Run as a script: one strategy's gradients on given batches, written to files.

    python replicas.py FOLDER one|mirrored|multi_worker

A process of its own, because TensorFlow takes only one set-up of logical devices in its lifetime, and
a second MirroredStrategy over CPUs ends it. For each job of the folder, `NAME.json` states the case, the
stage and whether batch normalisation is synchronized, and `NAME.npz` holds one array per key of a batch with a leading axis of replicas, as many for all;
"one" joins that axis to a single batch unless the replicas' are equal, and has the options of `alone` besides. Gradients,
and what the model holds alike on each replica (a queue), go to `NAME.out.npz`.
"""

import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

from tests.conformance import cases
from tf_landmarks.methods import base
from tf_landmarks.training import strategy


def main(folder: str, kind: str) -> None:
    """Computes and writes the gradients of all jobs."""
    # One computation of each: to build its graph would take longer. Workers of several processes want graphs.
    tf.config.run_functions_eagerly(kind != "multi_worker")
    jobs = sorted(pathlib.Path(folder).glob("*.json"))
    first = next(iter(np.load(jobs[0].with_suffix(".npz")).values()))
    chosen = strategy.make_strategy(kind, len(first), sum(len(rows) for rows in first))
    for job in jobs:
        stated = json.loads(job.read_text())
        options = stated["options"] | (stated["alone"] if kind == "one" else {})
        case = cases.Case(stated["method"], options)
        batches = dict(np.load(job.with_suffix(".npz")))
        gradients = compute(chosen, kind, case, stated["stage"], batches, stated["sync"])
        if strategy.is_chief():
            np.savez(job.with_suffix(".out.npz"), **gradients)


def compute(
    chosen: tf.distribute.Strategy,
    kind: str,
    case: cases.Case,
    stage: int,
    batches: dict,
    sync: bool,
) -> dict[str, np.ndarray]:
    """Computes the gradients of one stage, under their variables' positions and names."""
    tf.keras.utils.set_random_seed(5)
    with chosen.scope():
        model = case.model(sync_batch_norm=sync)
        model.start_stage(model.stages[stage], 10)

    @tf.function(autograph=False)
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

        @tf.function(autograph=False)
        def summed(values):
            per_replica = chosen.run(gradients, args=(values,))
            return [chosen.reduce("SUM", gradient, axis=None) for gradient in per_replica]

        result = summed(values)
    names = [variable.name.replace("/", ".") for variable in model.trained_variables]
    found = {
        f"{i} {name}": g.numpy() for i, (name, g) in enumerate(zip(names, result, strict=True))
    }
    return found | shared_state(model)


def shared_state(model: tf.keras.Model) -> dict[str, np.ndarray]:
    """What its layers hold alike on each replica; refuses what differs in any bit."""
    state = {}
    for path, variable in base.variables_by_path(model).items():
        if "/" in path and variable.aggregation == tf.VariableAggregation.ONLY_FIRST_REPLICA:
            values = [v.numpy() for v in getattr(variable, "values", [variable])]
            assert all(np.array_equal(values[0], other) for other in values), path
            state[f"state {path.replace('/', '.')}"] = values[0]
    return state


if __name__ == "__main__":
    main(*sys.argv[1:])
