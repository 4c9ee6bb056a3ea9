"""Using an export from Python; everything that evaluates or predicts goes through here."""

import functools
import json
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import coordinates, run_directory
from tf_landmarks.data.cropping import Cropping
from tf_landmarks.data.fingerprints import KnownImages
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.inference import image_batches, predictions
from tf_landmarks.inference.predictions import Prediction, ViewsPrediction


class ExportedModel:
    """A SavedModel and the facts beside it.

    Args:
        path: An export folder, whose newest version is taken, or one version of it.

    Raises:
        ValueError: If there is no exported model.
    """

    def __init__(self, path: str):
        self.path = run_directory.find_version(path)
        self._extra = os.path.join(self.path, run_directory.EXTRA)
        self.facts: dict = run_directory.read_facts(self.path)
        self._model = _load(self.path)
        self._signatures = self._model.signatures

    @property
    def has_finder(self) -> bool:
        """Whether it finds the object in whole pictures first."""
        return "finder" in self.facts

    @property
    def geometry(self) -> Geometry:
        """How an image becomes what the network sees.

        Raises:
            UserError: As `check_sees_what_it_is_given`.
        """
        self.check_sees_what_it_is_given()
        return Geometry(**self.facts["geometry"])

    def check_sees_what_it_is_given(self) -> None:
        """Refuses a model that cuts what it sees out of the image by itself, which no measure knows.

        Raises:
            UserError: Naming what can be measured instead.
        """
        if self.has_finder:
            raise UserError(
                f"{self.path} cuts the object out of whole pictures by itself (--finder): it predicts and serves; to measure it, to "
                "look at it or to fit to it, name the run that it was exported from"
            )

    @property
    def num_landmarks(self) -> int:
        """K."""
        return self.facts["num_landmarks"]

    @property
    def yields(self) -> str:
        """What it gives for an image, "landmarks" or "features"; of older exports, all of landmarks, it is not noted."""
        return self.facts.get("yields", "landmarks")

    def cropping(self, crop: str, table: str) -> Cropping:
        """How pictures are cut before the model sees them.

        Args:
            crop: "as_trained"; or "auto" or "none", see `Cropping`.
            table: Of boxes; none if empty.

        Raises:
            UserError: If the model learned from what a table of boxes cut out, and there is neither a table nor a word; or if
                pictures are to be cut that it cuts by itself.
        """
        trained = self.facts.get("crop", "none")
        if self.has_finder and (table or crop == "auto"):
            raise UserError(
                f"{self.path} cuts the object out of whole pictures by itself (--finder); leave out --crop and --boxes"
            )
        if table or crop != "as_trained":
            return Cropping("none" if crop == "as_trained" else crop, table)
        if trained == "boxes":
            raise UserError(
                f"{self.path} learned from what --boxes cut out of its pictures; give the boxes of these by --boxes=CSV, let "
                "--crop=auto find what moves, or say --crop=none if they are cut out already"
            )
        return Cropping(trained)

    def check_finds_landmarks(self) -> None:
        """Refuses a model that finds none.

        Raises:
            UserError: Naming what can be done with it.
        """
        if self.yields != "landmarks":
            raise UserError(
                f"{self.path} holds a model that describes every place of an image and finds no landmarks: "
                "tools/match.py finds points of one image in others, and python -m tf_landmarks.fit "
                f"--model={self.path} --data=LABELLED learns landmarks from labelled images"
            )

    def say_if_cropped(self) -> None:
        """Warns, for commands that show it whole pictures, that it learned from what was cut out of some."""
        if (crop := self.facts.get("crop", "none")) != "none":
            logging.warning(
                "%s learned from what --%s cut out of its pictures, and is shown whole ones here: give it cut pictures",
                self.path, "boxes" if crop == "boxes" else f"crop={crop}",
            )  # fmt: skip

    @property
    def landmark_names(self) -> list[str]:
        """What people call the landmarks; their numbers, from 0, where these were learned without labels."""
        return self.given_names or [str(k) for k in range(self.num_landmarks)]

    @property
    def given_names(self) -> list[str]:
        """What people call the landmarks; empty where these were learned without labels."""
        return self.facts.get("names", [])

    @property
    def descriptor_levels(self) -> tuple[str, ...]:
        """The levels of a feature model by which places are matched; all of them, if empty."""
        return tuple(self.facts.get("descriptor_levels", ()))

    @property
    def num_views(self) -> int:
        """How many views of each image it looks at, of whose answers landmarks are the mean."""
        return self.facts.get("views", 1)

    @property
    def has_generator(self) -> bool:
        """Whether `render` works."""
        return "render" in self._signatures

    @property
    def renders_parts(self) -> bool:
        """Whether `parts_inputs` works; exports of older versions have none."""
        return hasattr(self._model, "parts_inputs")

    @property
    def has_correspondence(self) -> bool:
        """Whether `flow` and `flow_inputs` work."""
        return "flow" in self._signatures

    @property
    def metrics(self) -> list[dict]:
        """The rows of the training's metrics.jsonl."""
        path = os.path.join(self._extra, run_directory.METRICS)
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def known_images(self, split: str) -> KnownImages:
        """The images of the training or the validation split."""
        paths, fingerprints = (
            [line for line in run_directory.read_lines(path) if line]
            if os.path.exists(path)
            else []
            for path in (
                os.path.join(self._extra, name) for name in run_directory.image_lists(split)
            )
        )
        return KnownImages(paths, fingerprints)

    def predict(self, images: Iterable[np.ndarray]) -> Prediction | ViewsPrediction:
        """Finds landmarks.

        Args:
            images: `[H, W, 3]` uint8 RGB arrays, of any sizes; of more than fit into memory, something
                that reads them as it goes.

        Returns:
            Landmarks and confidences, in the order of the images.

        Raises:
            ValueError: If an image is not such an array.
            UserError: If the model finds no landmarks.
        """
        self.check_finds_landmarks()
        run = self._signatures["predict_images"]
        kind = Prediction if self.num_views == 1 else ViewsPrediction
        return predictions.predict(run, images, self.num_landmarks, kind)

    def predict_untrained(self, images: Iterable[np.ndarray]) -> Prediction:
        """The same by the network as it was before training, the baseline of every evaluation."""
        run = self._untrained.signatures["predict_images"]
        return predictions.predict(run, images, self.num_landmarks)

    def heatmaps(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns `[N, h, w, K]` float32, the distributions whose means the landmarks are."""
        return self._represent(images)["heatmaps"]

    def score_maps(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns `[N, h, w, K]` float32, what the network says of each place before any softmax."""
        return self._represent(images)["score_maps"]

    def features(
        self, images: Sequence[np.ndarray], all_levels: bool = False
    ) -> dict[str, np.ndarray]:
        """Returns the levels of a feature model by name, `[N, h, w, D]` float32 each.

        Args:
            images: uint8 RGB arrays.
            all_levels: Not only those by which places are matched.
        """
        levels = self._represent(images)
        return levels if all_levels else self._matched(levels)

    def render(self, images: Sequence[np.ndarray], landmarks: np.ndarray) -> np.ndarray:
        """Draws each image's object with other landmarks.

        Args:
            images: N uint8 RGB arrays.
            landmarks: `[N, K, 2]` (x, y) in pixels of these images.

        Returns:
            `[N, S, S, 3]` uint8.
        """
        run = self._signatures["render"]
        rows = zip(images, np.asarray(landmarks, np.float32), strict=True)
        return np.concatenate(
            [
                run(images=i[np.newaxis], landmarks=tf.constant(p[np.newaxis]))["rendered"]
                for i, p in rows
            ]
        )

    def flow(self, image_a: np.ndarray, image_b: np.ndarray) -> dict[str, np.ndarray]:
        """Matches places of two images, uint8 RGB arrays.

        Returns:
            `cells_a`, `cells_b` `[h, w, 2]`: the places, (x, y) in pixels of the images; `b_of_a`, `a_of_b`: where each of
            them is in the other image, likewise.
        """
        pair = {
            f"images_{key}": tf.constant(image[np.newaxis])
            for key, image in (("a", image_a), ("b", image_b))
        }
        return {key: places[0].numpy() for key, places in self._signatures["flow"](**pair).items()}

    def to_inputs(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns what the network sees of each image, `[N, S, S, 3]` uint8."""
        inputs = np.empty((len(images), self.geometry.size, self.geometry.size, 3), np.uint8)
        for row, image in enumerate(images):
            seen = self.geometry.view(tf.constant(image))
            inputs[row] = tf.image.convert_image_dtype(seen, tf.uint8, saturate=True)
        return inputs

    def to_input_pixels(self, image_size: tuple[int, int], points: np.ndarray) -> np.ndarray:
        """Maps `[..., 2]` (x, y) pixels of a picture of (height, width) to pixels of its input."""
        points = coordinates.swap_xy(np.asarray(points, np.float64))
        return coordinates.swap_xy(self.geometry.to_network(points, image_size))

    def from_input_pixels(self, points: np.ndarray) -> np.ndarray:
        """Maps `[..., 2]` (x, y) pixels of the network's input to (y, x) in the corner convention."""
        points = coordinates.swap_xy(np.asarray(points, np.float32))
        return coordinates.corner_from_pixels(points, [self.geometry.size] * 2)

    def predict_inputs(self, inputs: np.ndarray, untrained: bool = False) -> np.ndarray:
        """Finds landmarks in images as the network sees them.

        Args:
            inputs: `[N, S, S, 3]` float32 in [0, 1], N at least 1.
            untrained: By the network as it was before training.

        Returns:
            `[N, K, 2]` float32 (y, x) in the corner convention.
        """
        model = self._untrained if untrained else self._model
        return model.predict_inputs(tf.constant(inputs, tf.float32)).numpy()

    def represent_inputs(
        self, inputs: np.ndarray, untrained: bool = False
    ) -> dict[str, np.ndarray]:
        """Describes images as the network sees them.

        Args:
            inputs: As for `predict_inputs`.
            untrained: By the network as it was before training.

        Returns:
            The levels by which places are matched, `[N, h, w, D]` float32 each, by name.
        """
        model = self._untrained if untrained else self._model
        levels = model.represent_inputs(tf.constant(inputs, tf.float32))
        return {name: level.numpy() for name, level in self._matched(levels).items()}

    def render_inputs(self, inputs: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Draws the objects of images as the network sees them with other landmarks.

        Args:
            inputs: As for `predict_inputs`.
            landmarks: `[N, K, 2]` (y, x) in the corner convention.

        Returns:
            `[N, S, S, 3]` float32 in [0, 1].
        """
        points = tf.constant(landmarks, tf.float32)
        return self._model.render_inputs(tf.constant(inputs, tf.float32), points).numpy()

    def parts_inputs(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The fields of `methods.base.Parts` by name, of images as for `predict_inputs`."""
        parts = self._model.parts_inputs(tf.constant(inputs, tf.float32))
        return {name: drawn.numpy() for name, drawn in parts.items()}

    def flow_inputs(
        self, inputs_a: np.ndarray, inputs_b: np.ndarray, untrained: bool = False
    ) -> dict[str, np.ndarray]:
        """Matches all places of pairs of images as the network sees them.

        Args:
            inputs_a: As for `predict_inputs`: the first.
            inputs_b: The second.
            untrained: By the network as it was before training.

        Returns:
            The fields of `methods.base.Correspondence`, by name.
        """
        run = (self._untrained if untrained else self._model).flow_inputs
        found = run(*(tf.constant(inputs, tf.float32) for inputs in (inputs_a, inputs_b)))
        return {name: places.numpy() for name, places in found.items()}

    def levels_function(
        self, all_levels: bool = False, untrained: bool = False
    ) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """What describes `[B, S, S, 3]` float32 in [0, 1], as the network sees images, inside a graph too."""
        run = (self._untrained if untrained else self._model).represent_inputs
        return run if all_levels else lambda inputs: self._matched(run(inputs))

    def _matched(self, levels: dict) -> dict:
        """Those of the levels by which places are matched."""
        return {name: levels[name] for name in self.descriptor_levels or levels}

    def _represent(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """All that the signature yields, by name; images of one size are run together."""
        run = self._signatures["represent"]
        found: dict[str, np.ndarray] = {}
        for rows, batch in image_batches.in_batches(images):
            for name, values in run(images=tf.constant(batch)).items():
                if name not in found:
                    found[name] = np.empty((len(images), *values.shape[1:]), np.float32)
                found[name][rows] = values
        return found

    @functools.cached_property
    def _untrained(self):
        return _load(os.path.join(self._extra, run_directory.UNTRAINED))


def _load(path: str):
    with run_directory.plain_path(path) as plain:
        return tf.saved_model.load(plain)
