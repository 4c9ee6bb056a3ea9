"""Measures an exported model on annotated images: regression from its landmarks to theirs.

The regressor is fitted on one part and measured on another. Beside the model stand two baselines that
get the same regressor and the same labels: the mean shape, which looks at no image, and the network
before training, which says how much of the score the architecture alone would give.

All errors are taken in pixels of the network's input, as the papers do; with `--keep_aspect` that is
the same as in pixels of the image.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import coordinates
from tf_landmarks.augment import annotated
from tf_landmarks.data import annotations, image_files, videos
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import attribution, flip_ambiguity, protocols, regression
from tf_landmarks.inference.exported import BATCH, ExportedModel
from tf_landmarks.methods import METHODS
from tf_landmarks.methods.base import LandmarkModel
from tf_landmarks.metrics import advice, landmark_errors, unsupervised

# Images of the test part on which the health of the landmarks is measured.
HEALTH_IMAGES = 256
# How many times the training part is warped for a map that is fitted by gradient.
GRADIENT_ROUNDS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Annotated images of a training or a test part.

    Attributes:
        paths: Image files; of a video's frame its file and number, `walk.mp4#000012`.
        images: `[H, W, 3]` uint8 each.
        points: `[N, A, 2]` float64 (x, y) in pixels of each image, NaN where missing.
        names: The A landmarks.
        num_bad: Annotated images that could not be read.
        title: What these images are, in words for tables and reports.
    """

    paths: list[str]
    images: list[np.ndarray]
    points: np.ndarray
    names: list[str]
    num_bad: int = 0
    title: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, rows: Sequence[int] | np.ndarray) -> "Part":
        """The part with some of its images, by indices or a mask."""
        chosen = np.arange(len(self))[rows]
        return dataclasses.replace(
            self,
            paths=[self.paths[i] for i in chosen],
            images=[self.images[i] for i in chosen],
            points=self.points[chosen],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What an evaluation found; `metrics` is what metrics.json holds.

    Attributes:
        metrics: Scores and the protocol that made them.
        test: The images measured on.
        discovered: `[N, K, 2]` (x, y) in pixels of each image, as the model finds them.
        confidence: `[N, K]` in (0, 1], as the model gives it.
        predicted: `[N, A, 2]` (x, y) in pixels of each image, as regressed.
        errors: `[N, A]` error of each point, percent; NaN where nothing could be measured.
        attribution: `[A, K]` how much each annotated point is read off each discovered landmark.
    """

    metrics: dict
    test: Part
    discovered: np.ndarray
    confidence: np.ndarray
    predicted: np.ndarray
    errors: np.ndarray
    attribution: np.ndarray

    @property
    def image_nme(self) -> np.ndarray:
        """`[N]` error of each image, percent; NaN where nothing could be measured."""
        return landmark_errors.image_errors(self.errors)


def read_part(folder: str) -> Part:
    """Reads the labelled images of a folder with annotations (landmarks.csv, COCO, DeepLabCut).

    Args:
        folder: Holds the annotations, and the images beside them or in `images/`; or videos, each with
            a CSV of the same name whose first column is `frame`.

    Returns:
        The labelled images; unreadable ones are named, counted and left out.

    Raises:
        UserError: If there are no annotations, or no labelled image.
    """
    known, paths = _labelled(folder)
    opened: dict[str, videos.Video | Exception] = {}
    images, kept = [], []
    for row, path in enumerate(paths):
        try:
            images.append(_read_image(path, opened))
        except image_files.UnreadableImageError as error:
            logging.warning("skipped %s: %s", path, error)
            continue
        kept.append(row)
    if not kept:
        raise UserError(f"{folder} holds no labelled image that can be read")
    title = "/".join(os.path.abspath(folder).split(os.sep)[-2:])
    return Part(
        [paths[row] for row in kept],
        images,
        known.points[kept],
        known.names,
        len(paths) - len(kept),
        title,
    )


def read_parts(data: str, part: str, model: ExportedModel) -> tuple[Part, Part]:
    """Reads what to fit on and what to measure on.

    Args:
        data: A folder with `train/` and `test/`.
        part: "test"; or "validation": both come from `train/`, and what is measured on are the images
            that were held out when the model was trained.
        model: Knows which images those are.

    Returns:
        The two parts.

    Raises:
        UserError: If a part is missing or empty.
    """
    train_folder, test_folder = os.path.join(data, "train"), os.path.join(data, "test")
    for folder in (train_folder, *([test_folder] if part == "test" else [])):
        if not os.path.isdir(folder):
            raise UserError(
                f"--data={data} has no {os.path.basename(folder)}/ inside; an evaluation fits the "
                "regressor on train/ and measures on test/, each with images and annotations"
            )
    train = read_part(train_folder)
    if part == "test":
        return train, read_part(test_folder)
    rows = _listed(model, "validation", train)
    if not rows.any() or rows.all():
        raise UserError(
            "--split=validation needs a model trained with --validation_fraction on the images of "
            f"{train_folder}; of its labelled images, {rows.sum()} of {len(rows)} were held out"
        )
    measured = dataclasses.replace(
        train.select(rows), num_bad=0, title=f"{train.title}, held-out images"
    )
    return train.select(~rows), measured


def evaluate(
    model: ExportedModel,
    train: Part,
    test: Part,
    normalizer: str,
    protocol: protocols.Protocol,
    seed: int = 0,
    allow_training_images: bool = False,
    flip_pairs: str = "",
) -> Result:
    """Fits the regressor on one part, measures on the other.

    Args:
        model: An export.
        train: Where the regressor is fitted.
        test: Where it is measured.
        normalizer: "edge" (the side of the network's input), or two landmark names with a comma.
        protocol: The form of the regressor.
        seed: Of the bootstrap and the few-label draws.
        allow_training_images: Measure even where images of `test` were trained on, without labels.
        flip_pairs: `left:right` landmarks with commas, where these cannot be told apart: errors are then
            those against the nearer of annotation and mirrored annotation, see ambiguous.py.

    Returns:
        Scores, and what pictures need.

    Raises:
        UserError: If the parts do not fit each other, or the test images were trained on.
    """
    trained_on = check_parts(model, train, test, allow_training_images)
    size = model.geometry.size
    truth_train, truth = (to_network(model.geometry, p, p.points) for p in (train, test))
    targets = protocols.to_protocol(truth_train, size, protocol)
    lengths = normalizer_lengths(truth, normalizer, test.names, size)

    pairs = flip_ambiguity.parse_pairs(flip_pairs, test.names) if flip_pairs else []
    if pairs and protocol.fit != "closed":
        raise UserError(
            f"--flip_pairs goes with a fit in closed form, and protocol {protocol.name} is by gradient; "
            "take another --protocol"
        )

    def score(predicted: np.ndarray) -> np.ndarray:
        if pairs:
            return flip_ambiguity.normalized_errors(predicted, truth, lengths, pairs)
        return landmark_errors.normalized_errors(predicted, truth, lengths)

    found = model.predict(test.images)
    x, fitted = _fit(model, train, targets, protocol, seed, pairs)
    x_test = _features(model, test, found.landmarks, protocol)
    predicted = protocols.from_protocol(fitted.predict(x_test), size, protocol)
    errors = score(predicted)
    _, before = _fit(model, train, targets, protocol, seed, pairs, untrained=True)
    x_before = _features(model, test, model.predict_untrained(test.images).landmarks, protocol)
    untrained = protocols.from_protocol(before.predict(x_before), size, protocol)
    shapes = truth_train
    if pairs:  # with all seen from one side: left and right would meet in the middle
        turned = ~flip_ambiguity.frontal(truth_train, pairs)[:, np.newaxis, np.newaxis]
        shapes = np.where(turned, flip_ambiguity.mirror(truth_train, pairs), truth_train)
    baselines = {
        "mean_shape": score(np.tile(regression.mean_shape(shapes), (len(test), 1, 1))),
        "untrained": score(untrained),
    }
    few = [] if pairs else regression.few_label_curve(
        x, targets, x_test, protocols.to_protocol(truth, size, protocol),
        _unit(size, protocol) * lengths, bias=protocol.bias, ridge=protocol.ridge, seed=seed,
    )  # fmt: skip
    low, high = landmark_errors.bootstrap_interval(errors, seed=seed)
    report = {
        "nme_percent": landmark_errors.nme_percent(errors),
        "nme_interval_percent": [low, high],
        **{f"{name}_nme_percent": landmark_errors.nme_percent(e) for name, e in baselines.items()},
        "per_landmark": {
            name: {
                "nme_percent": row[0],
                "mean_shape_nme_percent": row[1],
                "untrained_nme_percent": row[2],
            }
            for name, *row in zip(
                test.names,
                *(
                    landmark_errors.nme_percent(e, axis=0).tolist()
                    for e in (errors, *baselines.values())
                ),
                strict=True,
            )
        },
        "few_labels": [dataclasses.asdict(f) for f in few],
        "health": measure_health(model, test, seed),
        "protocol": {
            **dataclasses.asdict(protocol),
            "ridge_chosen": sorted(set(fitted.ridge[np.isfinite(fitted.ridge)].tolist())),
            "normalizer": normalizer,
            "flip_pairs": flip_pairs,
            "train": train.title,
            "test": test.title,
            "image_size": size,
            "num_train": len(train),
            "num_test": len(test),
            "num_trained_on": int(trained_on.sum()),
            "num_skipped": int(landmark_errors.skipped_images(truth, lengths).sum()),
            "num_unreadable": train.num_bad + test.num_bad,
            "seed": seed,
        },
        "model": model.facts,
    }
    return Result(
        _without_nan(report),
        test,
        found.landmarks,
        found.confidence,
        to_image(model.geometry, test, predicted),
        100 * errors,
        attribution.strengths(fitted.weights),
    )


def few_labels(
    model: ExportedModel,
    train: Part,
    test: Part,
    normalizer: str,
    protocol: protocols.Protocol,
    counts: Sequence[int | str],
    repeats: int | None = None,
    seed: int = 0,
) -> list[regression.FewLabelScore]:
    """The error of a model by the number of labelled images; see `regression.few_label_curve`.

    Raises:
        UserError: As `check_parts`.
    """
    check_parts(model, train, test)
    size = model.geometry.size
    truth_train, truth = (to_network(model.geometry, p, p.points) for p in (train, test))
    return regression.few_label_curve(
        _features(model, train, model.predict(train.images).landmarks, protocol),
        protocols.to_protocol(truth_train, size, protocol),
        _features(model, test, model.predict(test.images).landmarks, protocol),
        protocols.to_protocol(truth, size, protocol),
        _unit(size, protocol) * normalizer_lengths(truth, normalizer, test.names, size),
        bias=protocol.bias, ridge=protocol.ridge, counts=counts, repeats=repeats, seed=seed,
    )  # fmt: skip


def _fit(
    model: ExportedModel,
    train: Part,
    targets: np.ndarray,
    protocol: protocols.Protocol,
    seed: int,
    pairs: Sequence[tuple[int, int]] = (),
    untrained: bool = False,
) -> tuple[np.ndarray, regression.LinearRegressor]:
    """The features of the training part, and the map fitted to them."""
    find = model.predict_untrained if untrained else model.predict
    x = _features(model, train, find(train.images).landmarks, protocol)
    if pairs:
        return x, flip_ambiguity.fit(
            x, targets, pairs, bias=protocol.bias, ridge=protocol.ridge
        ).regressor
    if protocol.fit == "closed":
        return x, regression.fit_linear(x, targets, bias=protocol.bias, ridge=protocol.ridge)
    size = (model.geometry.size,) * 2
    inputs = model.to_inputs(train.images) / np.float32(255)
    points = coordinates.corner_from_pixels(
        coordinates.swap_xy(to_network(model.geometry, train, train.points)), size
    )
    chunks = np.array_split(np.arange(len(inputs)), -(-len(inputs) // BATCH))
    rounds = []
    for number in range(GRADIENT_ROUNDS):
        found, moved = [], []
        for chunk, rows in enumerate(chunks):
            warped, there = annotated.warp_annotated(
                tf.constant(inputs[rows]), tf.constant(points[rows], tf.float32), annotated.MILD,
                tf.constant([seed, number * len(chunks) + chunk]),
            )  # fmt: skip
            found.append(model.predict_inputs(warped.numpy(), untrained))
            moved.append(there.numpy())
        pixels = [
            coordinates.swap_xy(coordinates.pixels_from_corner(np.concatenate(p), size))
            for p in (found, moved)
        ]
        rounds.append(
            (
                protocols.features(pixels[0], size[0], protocol),
                protocols.to_protocol(pixels[1], size[0], protocol),
            )
        )
    return x, regression.fit_by_gradient(rounds, bias=protocol.bias, seed=seed)


def _features(
    model: ExportedModel, part: Part, landmarks: np.ndarray, protocol: protocols.Protocol
) -> np.ndarray:
    """What the map reads, `[N, 2K]`, of landmarks in pixels of each image."""
    return protocols.features(
        to_network(model.geometry, part, landmarks), model.geometry.size, protocol
    )


def _unit(size: int, protocol: protocols.Protocol) -> float:
    """A pixel of the network's input in the coordinates of the fit."""
    return float(np.subtract(*protocols.to_protocol([1.0, 0.0], size, protocol)))


def measure_health(model: ExportedModel, part: Part, seed: int = 0) -> dict:
    """The health of a model's landmarks on images of a part, see metrics/unsupervised.py."""
    count = min(HEALTH_IMAGES, len(part))
    rows = np.linspace(0, len(part) - 1, count).round().astype(int)
    images = part.select(rows).images
    found = unsupervised.measure(
        model.to_inputs(images) / np.float32(255),
        model.predict_inputs,
        model.render_inputs if model.has_generator else None,
        grid=model.heatmaps(images[:1]).shape[1],
        seed=seed,
    )
    method = METHODS.get(model.facts["method"], LandmarkModel)
    return advice.to_json(found, method.remedies)


def to_network(geometry: Geometry, part: Part, points: np.ndarray) -> np.ndarray:
    """Maps `[N, P, 2]` (x, y) pixels of each image to (x, y) pixels of a network's input."""
    points = coordinates.swap_xy(np.asarray(points, np.float64))
    return coordinates.swap_xy(geometry.to_network(points, _sizes(part)))


def to_image(geometry: Geometry, part: Part, points: np.ndarray) -> np.ndarray:
    """Maps (x, y) pixels of a network's input to those of each image; undoes `to_network`."""
    points = coordinates.swap_xy(np.asarray(points, np.float64))
    return coordinates.swap_xy(geometry.to_image(points, _sizes(part)))


def _find_image(folder: str, name: str) -> str:
    """The file of an annotated image: in the folder, or in its `images/`.

    DeepLabCut writes names from the top of its project, `labeled-data/<video>/<image>`, into a file
    that stands beside the images: folders in front that are not there are passed over.
    """
    parts = name.split("/")
    for start in range(len(parts)):
        for top in (os.path.join(folder, "images"), folder):
            path = os.path.join(top, *parts[start:])
            if os.path.exists(path):
                return path
    return os.path.join(folder, name)


def _labelled(folder: str) -> tuple[annotations.Annotations, list[str]]:
    """The labelled images or frames of a folder, and their paths."""
    try:
        known = annotations.read_annotations(folder)
    except FileNotFoundError:
        tables = annotations.find_video_annotations(folder)
        if not tables:
            raise
        return _video_frames(tables)
    known = known.select(known.labelled())
    return known, [_find_image(folder, name) for name in known.files]


def _video_frames(tables: Sequence[pathlib.Path]) -> tuple[annotations.Annotations, list[str]]:
    """The labelled frames of videos from their CSVs, and their paths."""
    parts, paths = [], []
    for table in tables:
        part = annotations.read_annotations(table)
        if parts and part.names != parts[0].names:
            raise UserError(
                f"{table} has the landmarks {part.names}, {tables[0]} has {parts[0].names}; give all "
                "videos of a folder the same columns"
            )
        parts.append(part.select(part.labelled()))
        found = [p for p in sorted(table.parent.glob("*")) if p.stem == table.stem]
        found = [str(path) for path in found if videos.is_video(path.name)]
        if len(found) != 1:
            raise UserError(
                f"{table} numbers the frames of a video, of which there should be one of the same name "
                f"beside it; found: {', '.join(found) or 'none'}"
            )
        paths += [videos.frame_name(found[0], int(frame)) for frame in parts[-1].frames]
    points = np.concatenate([part.points for part in parts])
    return annotations.Annotations(paths, parts[0].names, points), paths


def _read_image(path: str, opened: dict[str, videos.Video | Exception]) -> np.ndarray:
    """Reads an image or a video's frame; `opened` keeps videos by their paths."""
    name, frame = videos.split_name(path)
    if frame is None:
        return image_files.read_image(path)
    if name not in opened:
        try:
            opened[name] = videos.Video(name)
        except image_files.UnreadableImageError as error:
            opened[name] = error
    video = opened[name]
    if isinstance(video, Exception):
        raise video
    return video.read(frame)


def _listed(model: ExportedModel, part: str, images: Part) -> np.ndarray:
    """`[N]` bool: which images are among those that the model was trained on, or held out."""
    # Both sides are resolved: data folders often hold links to a common pool of files.
    listed = {videos.real_path(path) for path in model.image_list(part)}
    return np.array([videos.real_path(path) in listed for path in images.paths], bool)


def check_parts(
    model: ExportedModel, train: Part, test: Part, allow_training_images: bool = False
) -> np.ndarray:
    """Checks that one part can be measured on and the other fitted on.

    Returns:
        `[N]` bool: which test images the model was trained on.

    Raises:
        UserError: If the parts do not fit each other, or test images were trained on and that is not
            allowed.
    """
    _check_parts(train, test)
    trained_on = _listed(model, "training", test)
    if trained_on.any() and not allow_training_images:
        raise UserError(
            f"{trained_on.sum()} of {len(test)} test images were trained on, "
            f"{test.paths[np.argmax(trained_on)]} for one; measure on others, or pass "
            "--allow_training_images where that is what you mean"
        )
    return trained_on


def _check_parts(train: Part, test: Part) -> None:
    if train.names != test.names:
        raise UserError(f"train has the landmarks {train.names}, test has {test.names}")
    fitted = {videos.real_path(path) for path in train.paths}
    shared = [path for path in test.paths if videos.real_path(path) in fitted]
    if shared:
        raise UserError(
            f"{len(shared)} images are in both parts, {shared[0]} for one: the regressor would be "
            "measured on what it was fitted to; take them out of one part"
        )
    labelled = (~np.isnan(train.points).any(axis=-1)).any(axis=0)
    if not labelled.all():
        never = ", ".join(train.names[index] for index in np.flatnonzero(~labelled))
        raise UserError(
            f"no readable training image labels {never}, so nothing can be fitted to it; label it "
            "in some of them, or remove its columns from the annotations of both parts"
        )


def normalizer_lengths(
    truth: np.ndarray, normalizer: str, names: Sequence[str], size: int
) -> np.ndarray:
    """The length by which each image's errors are divided, `[N]`, in pixels of the network's input.

    Args:
        truth: `[N, A, 2]` in those pixels.
        normalizer: "edge", or two names with a comma; `a+b+c` is the mean of some points.
        names: Of the A landmarks.
        size: Side of the network's input.

    Raises:
        UserError: If it is neither, or no image has both points.
    """
    if normalizer == "edge":
        return np.full(len(truth), float(size))
    pair = [[n.strip() for n in group.split("+")] for group in normalizer.split(",")]
    unknown = [name for group in pair for name in group if name not in names]
    if unknown or len(pair) != 2 or set(pair[0]) == set(pair[1]):
        raise UserError(
            f"--normalizer={normalizer} must be edge, or two of the landmarks with a comma: "
            f"{', '.join(names)}; a + b stands for the point between a and b"
        )
    indices = tuple([names.index(name) for name in group] for group in pair)
    lengths = landmark_errors.normalizer_lengths(truth, indices)
    if not (lengths > 0).any():
        raise UserError(
            f"--normalizer={normalizer}: no test image labels both points, at a distance; "
            "take two others, or edge"
        )
    return lengths


def _without_nan(value):
    """None in the place of NaN, which JSON does not know, at any depth."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _sizes(part: Part) -> np.ndarray:
    return np.array([[image.shape[:2]] for image in part.images])  # [N, 1, 2]


def table(result: Result) -> list[str]:
    """The scores as lines of text."""
    scores, protocol = result.metrics, result.metrics["protocol"]
    width = max(12, *(len(name) for name in scores["per_landmark"]))
    columns = ("nme_percent", "mean_shape_nme_percent", "untrained_nme_percent")

    def line(name: str, row: dict) -> str:
        values = [row[column] for column in columns]
        return f"{name:<{width}}" + "".join(
            f"{'-':>12}" if value is None else f"{value:>12.2f}" for value in values
        )

    few = [
        f"{f['n']}: {f['mean']:.1f}±{f['std']:.1f}"
        for f in scores["few_labels"]
        if f["mean"] is not None
    ]
    low, high = scores["nme_interval_percent"]
    bias = "with" if protocol["bias"] else "no"
    return [
        f"{'error, %':<{width}}{'model':>12}{'mean shape':>12}{'untrained':>12}",
        *(line(name, row) for name, row in scores["per_landmark"].items()),
        line("all", scores),
        f"95 % interval of the model's: {low:.2f} to {high:.2f}",
        *(["with n labels: " + ", ".join(few)] if few else []),
        f"protocol {protocol['name']}: {bias} bias, ridge {protocol['ridge']}, origin "
        f"{protocol['origin']}, in % of {protocol['normalizer']}; {protocol['num_train']} train, "
        f"{protocol['num_test']} test, {protocol['num_skipped']} skipped, "
        f"{protocol['num_unreadable']} unreadable",
        *(f"health: {line}" for line in scores["health"]["warnings"] or ["nothing found wrong"]),
    ]
