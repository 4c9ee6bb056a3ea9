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
    paths, fingerprints = zip(*map(run_directory.image_lists, run_directory.SPLITS), strict=True)
    for name in (run_directory.FLAGS, *paths):
        shutil.copy(os.path.join(run_dir, name), extra)
    # A run that was cut off has no fingerprints, and nothing but curves needs the log.
    for name in (*fingerprints, run_directory.METRICS):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(os.path.join(run_dir, name), extra)
    facts = {
        "method": run.method,
        "step": step,
        **module.facts(),
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
