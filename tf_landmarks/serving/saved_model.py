"""Writing an export from a run directory."""

import contextlib
import dataclasses
import json
import os
import shutil

from tf_landmarks import run_directory
from tf_landmarks.serving import signatures
from tf_landmarks.training import models, untrained


def export_run(run_dir: str, output: str | None = None) -> str:
    """Writes the latest checkpoint of a run as a SavedModel, with all that evaluation needs.

    The networks are saved in float32 whatever they were trained in, so that any server can run them.

    Args:
        run_dir: The run.
        output: Folder for the version folder; `<run_dir>/export` if not given.

    Returns:
        The version folder, `<output>/<step>`.

    Raises:
        UserError: If the run directory is none, or holds no checkpoint.
    """
    run, options, model, step = models.load_run(run_dir)
    module = signatures.serving_module(model, run.geometry)
    output = output or os.path.join(run_dir, run_directory.EXPORT)
    path = os.path.join(output, str(step))
    # A server watches for folders whose names are numbers: it must never see half of one.
    part = os.path.join(output, f".{step}.part")
    shutil.rmtree(part, ignore_errors=True)
    module.save(part)

    extra = os.path.join(part, run_directory.EXTRA)
    os.makedirs(extra)
    for name in (run_directory.FLAGS, *(f"{p}_images.txt" for p in run_directory.SPLITS)):
        shutil.copy(os.path.join(run_dir, name), extra)
    with contextlib.suppress(FileNotFoundError):  # a log, which nothing but the curves needs
        shutil.copy(os.path.join(run_dir, run_directory.METRICS), extra)
    facts = {
        "method": run.method,
        "step": step,
        "num_landmarks": run.num_landmarks,
        "geometry": dataclasses.asdict(run.geometry),
    }
    with open(os.path.join(extra, run_directory.FACTS), "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)

    before = models.make_float32_model(run, options)
    untrained.load(run_dir, before)
    baseline = signatures.serving_module(before, run.geometry)
    baseline.save(os.path.join(extra, run_directory.UNTRAINED), baseline.baseline)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(part, path)
    return path
