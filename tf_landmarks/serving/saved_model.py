"""Writing an export from a run directory."""

import contextlib
import dataclasses
import json
import os
import shutil

import tensorflow as tf

from tf_landmarks import run_directory
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import calibrating
from tf_landmarks.layers import heads
from tf_landmarks.methods import LandmarkModel, Model
from tf_landmarks.methods import named as named_
from tf_landmarks.options import RunOptions
from tf_landmarks.serving import signatures
from tf_landmarks.serving.finder import Finder
from tf_landmarks.serving.views import ONE_VIEW, Views
from tf_landmarks.training import models, untrained


def export_run(
    run_dir: str,
    output: str | None = None,
    calibrated: calibrating.Calibration | None = None,
    views: Views = ONE_VIEW,
    finder: Finder | None = None,
) -> str:
    """Writes the latest checkpoint of a run as a SavedModel, with all that evaluation needs.

    The networks are saved in float32 whatever they were trained in, so that any server can run them.

    Args:
        run_dir: The run.
        output: Folder for the version folder; `<run_dir>/export` if not given.
        calibrated: What the confidence of landmarks is made to mean; as the network says it, if not given.
        views: Of whose answers landmarks are the mean.
        finder: Cuts the object out of whole pictures, for a network that learned from what was cut out; nothing does if
            not given.

    Returns:
        The version folder, `<output>/<step>`.

    Raises:
        UserError: If the run directory is none, or holds no checkpoint; if a method without landmarks is to take the mean
            of views, or one that draws or matches images, or that learned from whole pictures, is to have a finder.
    """
    run, options, model, step = models.load_run(run_dir)
    module = signatures.serving_module(model, run.geometry)
    before = signatures.serving_module(load_untrained(run_dir, run, options), run.geometry)
    output = output or os.path.join(run_dir, run_directory.EXPORT)
    facts = {"num_landmarks": run.num_landmarks, "crop": run.cropping.kind}
    if isinstance(model, LandmarkModel) and model.names:
        facts["names"] = list(model.names)
    if views != ONE_VIEW:
        if module.yields != "landmarks":
            raise UserError(
                f"--views={views.count} takes the mean of landmarks, and {run_dir} describes places: leave it out"
            )
        module.views = before.views = views
        facts["views"] = views.count
    if finder is not None:
        _check_takes_finder(run_dir, run, module, output)
        module.finder = before.finder = finder
        facts |= {"crop": "none", "finder": finder.facts}
    if calibrated is not None:
        module.calibration = calibrated.curve
        facts["calibration"] = calibrated.facts()
    return _write(output, step, module, before, run_dir, {"method": run.method, **facts})


def export_named(
    run_dir: str,
    heads_of: tuple[heads.Head, heads.Head],
    output: str,
    crop: str = "",
) -> str:
    """Writes a run with a head, so that it answers with named landmarks; as `export_run` otherwise.

    Args:
        run_dir: The run.
        heads_of: A head that was fitted to the run's model, and one of its untrained network.
        output: Folder for the version folder.
        crop: How the pictures were cut that the head was fitted to, see `Cropping.kind`; as the run's if not given.

    Returns:
        The version folder, in whose `assets.extra` the head is too.
    """
    run, options, model, step = models.load_run(run_dir)
    head, head_before = heads_of
    named = named_.NamedLandmarks(model, head)
    before = named_.NamedLandmarks(load_untrained(run_dir, run, options), head_before)
    for one in (named, before):
        one.represent(tf.zeros([1, run.image_size, run.image_size, 3]))
    modules = [signatures.serving_module(one, run.geometry) for one in (named, before)]
    facts = {
        "num_landmarks": len(head.names),
        "names": list(head.names),
        "head": head.kind,
        "crop": crop or run.cropping.kind,
    }
    return _write(output, step, *modules, run_dir, {"method": run.method, **facts}, head)


def load_untrained(run_dir: str, run: RunOptions, options) -> Model:
    """The network of a run as it was before training, in float32."""
    model = models.make_float32_model(run, options)
    untrained.load(run_dir, model)
    return model


def _check_takes_finder(
    run_dir: str, run: RunOptions, module: signatures.ServingModule, output: str
) -> None:
    own = os.path.join(run_dir, run_directory.EXPORT)
    if os.path.realpath(output) == os.path.realpath(own):
        raise UserError(
            f"--finder makes an export that predicts and serves, and would replace {own}, which the run is measured by: give another "
            "folder by --output"
        )
    if run.cropping.kind == "none":
        raise UserError(
            f"--finder cuts the object out of pictures, and {run_dir} learned from whole ones: leave it out, or train with --crop=auto "
            "or --boxes"
        )
    if (
        module.yields != "landmarks"
        or module.model.has_generator
        or module.model.has_correspondence
    ):
        raise UserError(
            f"--finder is for networks that find landmarks and nothing else, such as those of python -m tf_landmarks.fit; {run_dir} is "
            f"a run of --method={run.method}"
        )


def _write(
    output: str,
    step: int,
    module: signatures.ServingModule,
    before: signatures.ServingModule,
    run_dir: str,
    facts: dict,
    head: heads.Head | None = None,
) -> str:
    """Writes a version folder, which is whole or not there, and returns it."""
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
    geometry = dataclasses.asdict(module.geometry)
    facts = {**facts, "step": step, **module.facts(), "geometry": geometry}
    with open(os.path.join(extra, run_directory.FACTS), "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)
    if head is not None:
        head.save(os.path.join(extra, run_directory.HEAD))
    before.save(os.path.join(extra, run_directory.UNTRAINED), before.baseline)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(part, path)
    return path
