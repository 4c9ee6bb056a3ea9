"""Heads for an export, fitted to labelled images: what it then says has the names that people gave."""

import dataclasses
import os

import numpy as np
from absl import logging

from tf_landmarks import flags, run_directory
from tf_landmarks.data import boxes, cropping, labelled, sources
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import fit, head_fitting
from tf_landmarks.evaluation.protocol_kinds import Examples, Protocol
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.layers import heads, weights
from tf_landmarks.methods.contrastlandmark import ContrastlandmarkOptions
from tf_landmarks.methods.semisupervised import SemisupervisedOptions, usual_steps
from tf_landmarks.metrics import advice, landmark_errors
from tf_landmarks.options import RunOptions


def read_labelled(
    data: str, num_images: int = 0, seed: int = 0, crop: cropping.Cropping = cropping.NONE
) -> LabelledImages:
    """Opens the labelled images to fit to.

    Args:
        data: Annotated images, or a folder with `train/`; several with commas.
        num_images: How many to draw; 0 for all.
        seed: Of the draw, which is that of tools/few_labels.py.
        crop: What is cut out of the images.

    Raises:
        UserError: If there are none, fewer than that, or a landmark is labelled nowhere.
    """
    images = labelled.read_part(data, "train", crop)
    rows = np.flatnonzero(landmark_errors.labelled_images(images.points))
    if num_images > len(rows):
        raise UserError(f"--num_images={num_images}: {data} has {len(rows)} labelled images")
    if num_images:
        rows = np.sort(rows[labelled.draw_rows(len(rows), num_images, 0, seed)])
    images = images.select(np.isin(np.arange(len(images)), rows))
    known = np.isfinite(images.points).all(axis=-1).any(axis=0)
    if not known.all():
        never = ", ".join(
            name for name, there in zip(images.names, known, strict=True) if not there
        )
        raise UserError(
            f"none of these {len(rows)} labelled images has {never}; label them in some, or take them out of the table or the "
            f"skeleton{'; or raise --num_images' if num_images else ''}"
        )
    return images


def _read_to_teach(
    data: str, unlabelled: str, frames: str, num_images: int, seed: int, crop: cropping.Cropping
) -> LabelledImages:
    """Opens the labelled images of a run, and checks what else it learns from; see `run_of_labels`."""
    folders = labelled.folders_of(data)
    if len(folders) > 1 and not unlabelled:
        raise UserError(
            f"--data={data} names {len(folders)} folders; say by --unlabelled what a network learns from besides, a video "
            "or one folder"
        )
    images = read_labelled(data, num_images, seed, crop)
    if with_comma := [name for name in images.names if "," in name]:
        raise UserError(
            f"the landmark {with_comma[0]!r} of {data} has a comma in its name; give it another"
        )
    logging.info("%d labelled images of %s", len(images), images.title)
    if unlabelled:  # looked at under its own flag; training opens it as --data
        sources.open_source(unlabelled, flag="--unlabelled", frames=frames)
    return images


_ALONE = "all images of %s have labels, which teach alone, %d steps; --unlabelled=FOLDER|VIDEO names others of the kind"


def run_of_labels(
    data: str,
    *,
    unlabelled: str = "",
    frames: str = "",
    num_images: int = 0,
    steps: int | None = None,
    rotation: float,
    flip_pairs: str = "auto",
    seed: int = 0,
    run_dir: str = "",
    crop: cropping.Cropping = cropping.NONE,
) -> tuple[RunOptions, SemisupervisedOptions]:
    """The run that teaches a network the landmarks of annotated images.

    Where all images have labels, they teach alone: equivariance on these gained nothing (docs/semisupervised.md) and takes more than
    half of the time. An image has labels if one of its landmarks has; whoever names the same folder as `unlabelled` has
    equivariance all the same.

    Args:
        data: See `read_labelled`.
        unlabelled: What else it learns from; the folder of the annotated images if empty.
        frames: Of videos there, see `RunOptions`.
        num_images: See `read_labelled`.
        steps: Of training; if None, as many as are tried.
        rotation: Standard deviation of the rotation of its warps, degrees.
        flip_pairs: Landmarks that change places in a mirror, see `sides.choose`.
        seed: Of the run and of the draw.
        run_dir: Where it is kept; "" for a folder of the data's name.
        crop: What is cut out of all images.

    Raises:
        UserError: As `read_labelled`.
    """
    images = _read_to_teach(data, unlabelled, frames, num_images, seed, crop)
    # Of videos whose frames are chosen, numbers of frames and of labels say nothing of each other.
    alone = not (unlabelled or frames) and len(sources.open_source(data)) == len(images)
    steps = steps or usual_steps(alone)
    if alone:
        logging.info(_ALONE, data, steps)
    options = _options_of(images, data, num_images, seed, alone)
    options, why = options.suited_to(images.points, images.names, rotation, flip_pairs)
    if why:
        logging.info("%s", why)
    every = max(1, steps // 3)
    run = RunOptions(
        method="semisupervised",
        data=unlabelled or data,
        frames=frames,
        crop=crop.crop,
        boxes=crop.table,
        run_dir=run_dir or _folder_of(data),
        steps=steps,
        batch_size=12,
        image_size=64,
        num_landmarks=len(images.names),
        eval_every=every,
        save_every=every,
        seed=seed,
    )
    _warn_of_small_objects(images, run.geometry)
    return run, options


def run_of_imagenet(run: RunOptions, run_dir: str) -> tuple[RunOptions, ContrastlandmarkOptions]:
    """The run of no steps that describes every place by ImageNet's features; `configs/cpu_imagenet.cfg` is the same.

    Args:
        run: What sees the same part of the same images.
        run_dir: Where it is kept.
    """
    features = dataclasses.replace(
        run,
        method="contrastlandmark",
        run_dir=run_dir,
        init_from="",  # that of --finetune is of the other network
        steps=0,
        batch_size=32,
        image_size=128,
    )
    return features, ContrastlandmarkOptions(encoder="efficientnet_lite0", weights=weights.IMAGENET)


def _options_of(
    images: LabelledImages, data: str, num_images: int, seed: int, alone: bool
) -> SemisupervisedOptions:
    """What is learned from some annotated images, but for what suits their shapes; see `run_of_labels`."""
    return SemisupervisedOptions(
        labels=data,
        names=",".join(images.names),
        num_labels=num_images,
        labels_digest=images.digest,
        draw_seed=seed,
        agreement=0.0 if alone else SemisupervisedOptions.agreement,
    )


def _folder_of(data: str) -> str:
    """Where the run of some annotated images is kept if nothing is said."""
    name = os.path.basename(os.path.normpath(labelled.folders_of(data)[0]))
    return os.path.join("runs", f"named_{name}")


def check_same_landmarks(run_dir: str, options: SemisupervisedOptions) -> None:
    """Checks that a network can go on from that of another run.

    Args:
        run_dir: The other run.
        options: Of the network.

    Raises:
        UserError: If the other run is none that labels taught, or learned other landmarks.
    """
    run, there = flags.read(os.path.join(run_dir, run_directory.FLAGS))
    if not isinstance(there, SemisupervisedOptions):
        raise UserError(
            f"--finetune: --model={run_dir} is a run of --method={run.method}; a network goes on from one that an earlier fit "
            "trained. As a start, networks that learned without labels gave nothing (docs/semisupervised.md)"
        )
    if there.names != options.names:
        raise UserError(
            f"--finetune: --model={run_dir} learned {there.names}, and --data annotates {options.names}; the same landmarks in "
            "the same order go on, others begin anew"
        )
    if there.features != options.features:
        raise UserError(
            f"--finetune: --model={run_dir} saw --features={there.features or '(none)'} and this one would see "
            f"--features={options.features or '(none)'}; give the same"
        )


def fit_heads(
    model: ExportedModel,
    images: LabelledImages,
    kind: str,
    protocol: Protocol,
    seed: int = 0,
    turns: int = 1,
) -> tuple[heads.Head, heads.Head]:
    """Fits the heads that name what an export finds, and what its network found before training.

    Args:
        model: An export of a run.
        images: See `read_labelled`.
        kind: One of `head_kinds.KINDS`, for a model that yields features.
        protocol: The form of the map from landmarks, for one that finds points.
        seed: Of the fit.
        turns: See `head_fitting.fit_head`.

    Raises:
        UserError: If something else than prototypes is to be turned.
    """
    if turns > 1 and (model.yields != "features" or kind not in ("auto", "prototype")):
        what = (
            f"--head={kind}" if model.yields == "features" else f"{model.path}, which finds points"
        )
        raise UserError(
            f"--turns={turns} is for --head=prototype of a model that describes every place, and not for {what}; leave it out"
        )
    if model.yields == "features":
        given, matched = head_fitting.network_view(model, images), model.descriptor_levels
        levels = [model.levels_function(all_levels=True, untrained=u) for u in (False, True)]
        choice = head_fitting.choose(kind, levels[0], matched, *given, turns)
        if choice.reason:
            logging.info("--head=auto is %s: %s", choice.kind, choice.reason)
        return tuple(
            head_fitting.fit_head(
                choice.kind, each, matched, tuple(images.names), *given, seed, turns
            )
            for each in levels
        )
    _warn_of_small_objects(images, model.geometry)
    found = (model.predict(images.images), model.predict_untrained(images.images))
    points = images.to_network(model.geometry, images.points)
    size, count = model.geometry.size, model.num_landmarks
    examples = [
        Examples(images.to_network(model.geometry, each.landmarks), points, size) for each in found
    ]
    protocol, reason = protocol.choose(examples[0], seed)
    if reason:
        logging.info("--protocol=nearer is %s: %s", protocol.name, reason)
    return tuple(
        fit.linear_head(protocol.fit(each, seed), images.names, count) for each in examples
    )


def _warn_of_small_objects(images: LabelledImages, geometry: Geometry) -> None:
    if set(boxes.CORNERS) <= set(images.names):
        return  # to find small objects is what such a network is for
    words = advice.of_small_object(images.to_network(geometry, images.points), geometry.size)
    if words:
        logging.warning("%s", words)
