"""Error by the number of labelled images of several methods on several sets, with their rivals: trains, measures, draws.

    python tools/label_curves.py --data=my_sets --sets=configs/label_sets.csv --methods=imm,fse,dve --output=runs/labels

Each method is trained on each set by its CPU preset (configs/cpu_METHOD.cfg), without labels, then measured by draws of
labels that are the same for all; ridges and the networks of --supervised learn from these alone. Takes hours to days:
trainings and numbers that are there are not made again, so that the same command goes on, and more methods, seeds or
numbers of labels may be asked for later. Writes cells.jsonl, label_curves.txt and label_curves.png; runs are in runs/.
"""

import functools
import os
import subprocess
import sys

from absl import flags, logging

from tf_landmarks import cli, methods, run_directory
from tf_landmarks.errors import UserError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_DATA = flags.DEFINE_string("data", None, "the folder that holds all sets", required=True)
_SETS = flags.DEFINE_string(
    "sets", os.path.join(ROOT, "configs", "label_sets.csv"),
    "table of sets: set,normalizer,supervised_rotation, then a column of flags for each method that wants some",
)  # fmt: skip
_ONLY = flags.DEFINE_list("only", [], "some of these sets; all if empty")
_METHODS = flags.DEFINE_list("methods", ["imm", "fse", "lmdis", "dve"], "which methods train")
_COUNTS = flags.DEFINE_list("counts", ["1", "5", "10", "20", "all"], "numbers of labels")
_REPEATS = flags.DEFINE_integer(
    "repeats", 10, "draws of each number, where they take seconds", lower_bound=1
)
_RIVALS = flags.DEFINE_list("rivals", ["pixels", "hog"], "as for tools/evaluate.py")
_SUPERVISED = flags.DEFINE_list(
    "supervised", ["unet", "semisupervised"], "networks, as for tools/few_labels.py"
)
_SUPERVISED_REPEATS = flags.DEFINE_integer(
    "supervised_repeats", 1, "their draws: each is a training", lower_bound=1
)
_GUIDES = flags.DEFINE_list(
    "guides", [],
    "of the --methods, or run folders: prototypes of their features, and semisupervised guided by them, in a row each, as "
    "python -m tf_landmarks.fit --guide",
)  # fmt: skip
_FEATURES = flags.DEFINE_list(
    "features", [],
    "of the --methods, or run folders: features that the U-Net sees besides, in a row by labels alone and one by unlabelled "
    "images too, as python -m tf_landmarks.fit --features",
)  # fmt: skip
_STEPS = flags.DEFINE_integer("supervised_steps", None, "as for tools/evaluate.py", lower_bound=1)
_SEEDS = flags.DEFINE_list("seeds", ["0"], "of trainings and draws")
_TRAIN = flags.DEFINE_string("train_flags", "", "further flags of all trainings, with spaces")
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to, or to go on in", required=True)


def main(_) -> None:
    """Parses flags, then trains and measures what is missing, set by set."""
    with cli.plain_errors():
        from tf_landmarks.evaluation import few_labels, label_curves

        presets = {name: _preset(name) for name in _METHODS.value}
        counts = few_labels.parse_counts(_COUNTS.value)
        if not all(seed.isdecimal() for seed in _SEEDS.value):
            raise UserError(f"--seeds={','.join(_SEEDS.value)} must be numbers from 0 up")
        _check_places(_GUIDES, presets)
        _check_places(_FEATURES, presets)
        sets = label_curves.read_sets(_SETS.value, methods.METHODS, _ONLY.value)
        for one in sets:
            if not os.path.isdir(os.path.join(_DATA.value, one.name)):
                raise UserError(
                    f"--data={_DATA.value} has no folder {one.name}, which {_SETS.value} names; "
                    "--only takes some of its sets"
                )
        run_directory.make_folder(_OUTPUT.value)
        cells = label_curves.Cells(os.path.join(_OUTPUT.value, "cells.jsonl"))
        for seed in map(int, _SEEDS.value):
            for one in sets:
                runs = {name: _train(preset, name, one, seed) for name, preset in presets.items()}
                _measure(cells, one, runs, counts, seed)
                _write(cells, sets)


def _check_places(flag: flags.FlagHolder, presets: dict[str, str]) -> None:
    """Raises where something that a flag lists is no method that trains here and no run, or finds points of its own."""
    from tf_landmarks import flags as run_flags

    for place in flag.value:
        if sum(_name(other) == _name(place) for other in {*flag.value, *presets}) > 1:
            raise UserError(
                f"--{flag.name}={place}: another one is called {_name(place)} too, and tables could not tell them apart; give the "
                "folder another name"
            )
        kept = os.path.join(place, run_directory.FLAGS)
        if place not in presets and not os.path.exists(kept):
            raise UserError(
                f"--{flag.name}={place} is none of --methods={','.join(_METHODS.value)}, and no run folder"
            )
        method = place if place in presets else run_flags.read(kept)[0].method
        if not issubclass(methods.MODELS[method], methods.FeatureModel):
            raise UserError(
                f"--{flag.name}={place}: {method} finds points of its own; name what describes every place, "
                "dve or contrastlandmark"
            )


def _preset(method: str) -> str:
    path = os.path.join(ROOT, "configs", f"cpu_{method}.cfg")
    if method not in methods.METHODS or not os.path.exists(path):
        raise UserError(f"--methods={','.join(_METHODS.value)}: {method} has no configs/cpu_*.cfg")
    return path


def _train(preset: str, method: str, one, seed: int) -> str:
    """Trains a method on a set, unless that is done, and returns its run folder."""
    run = os.path.abspath(os.path.join(_OUTPUT.value, "runs", f"{one.name}-{method}-{seed}"))
    try:
        run_directory.find_version(run)
        return run
    except UserError:  # not trained to its end
        pass
    data = os.path.abspath(os.path.join(_DATA.value, one.name))
    logging.info("training %s on %s", method, data)
    command = [
        *(sys.executable, "-m", "tf_landmarks.train", f"--flagfile={preset}", f"--data={data}"),
        *(f"--run_dir={run}", f"--seed={seed}", *one.flags.get(method, ()), *_TRAIN.value.split()),
    ]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise UserError(f"the training of {run} ended with code {done.returncode}, see above")
    return run


def _measure(cells, one, runs: dict[str, str], counts: list[int | str], seed: int) -> None:
    """Measures what is missing of one set, quick contestants first."""
    import numpy as np

    from tf_landmarks.data import labelled
    from tf_landmarks.data.geometry import Geometry
    from tf_landmarks.evaluation import label_curves, landmark_regression, protocols, rivals
    from tf_landmarks.evaluation.supervised_networks import UNet
    from tf_landmarks.evaluation.yardstick import make_yardstick
    from tf_landmarks.inference.exported import ExportedModel
    from tf_landmarks.metrics import landmark_errors

    train, test = labelled.read_splits(os.path.join(_DATA.value, one.name), "test")
    total = int(np.count_nonzero(landmark_errors.labelled_images(train.points)))
    protocol, geometry = protocols.resolve("nearer"), Geometry(UNet.size)
    yardstick = make_yardstick(geometry, test, one.normalizer, protocol)

    def keep(name: str, repeats: int, measure) -> None:
        missing = cells.missing(one.name, name, seed, counts, repeats, total)
        for score in measure(missing, repeats) if missing else ():
            logging.info("%s: %s with %d labels: %.1f %%", one.name, name, score.n, score.mean)
            cells.add(label_curves.Cell(one.name, name, seed, score))

    for name, run in runs.items():
        keep(
            name, _REPEATS.value,
            lambda counts, repeats, run=run: landmark_regression.measure_few_labels(
                ExportedModel(run), train, test, one.normalizer, protocol, counts, repeats, seed
            ),
        )  # fmt: skip
    heads, networks = _contestants(one, runs)
    for rival in (*rivals.ridges(_RIVALS.value), *heads, *networks):
        keep(
            rival.title + (f", {_STEPS.value} steps" if rival in networks and _STEPS.value else ""),
            _SUPERVISED_REPEATS.value if rival in networks else _REPEATS.value,
            lambda counts, repeats, rival=rival: rivals.few_label_scores(
                rival, train, test, geometry, yardstick, counts, repeats, seed
            ),
        )  # fmt: skip


def _contestants(one, runs: dict[str, str]) -> tuple[list, list]:
    """Prototypes of --guides, and all networks that learn from the labels of a set."""
    from tf_landmarks.evaluation import head_fitting, supervised, taught
    from tf_landmarks.inference.exported import ExportedModel
    from tf_landmarks.training import models

    networks = [supervised.make(name, _STEPS.value, one.rotation) for name in _SUPERVISED.value]
    taught_ = functools.partial(taught.Taught, _STEPS.value or 0, one.rotation)
    turns = head_fitting.turns_of_guide(one.rotation)
    heads = [
        head_fitting.HeadLearner(
            ExportedModel(runs.get(place, place)), "prototype", turns, _name(place)
        )
        for place in _GUIDES.value
    ]
    networks += [taught_(guide=head) for head in heads]
    for place in _FEATURES.value:
        seen = models.load_run(runs.get(place, place))
        networks += [
            taught_(features=seen, features_name=_name(place), agreement=agreement)
            for agreement in (0.0, 1.0)
        ]
    return heads, networks


def _name(place: str) -> str:
    return os.path.basename(os.path.normpath(place))


def _write(cells, sets) -> None:
    """Writes the table and the picture of all that is measured."""
    from tf_landmarks.evaluation import few_labels, label_curves
    from tf_landmarks.visualize import charts

    lines, panels = [], {}
    for one in sets:
        found = cells.curves(one.name)
        if not found:  # of a later turn
            continue
        lines += [f"`{one.name}`, % of {one.normalizer}:", "", *label_curves.table(found), ""]
        series = {name: few_labels.series(scores) for name, scores in found.items()}
        panels[one.name] = series, f"error, % of\n{one.normalizer}"
    with run_directory.open_whole(os.path.join(_OUTPUT.value, "label_curves.txt")) as file:
        file.write("\n".join(lines))
    picture = os.path.join(_OUTPUT.value, "label_curves.png")
    charts.panels_of_means(panels, "labelled images").savefig(picture, dpi=150)
    logging.info("wrote %s and %s", picture.replace(".png", ".txt"), picture)


if __name__ == "__main__":
    cli.run(main)
