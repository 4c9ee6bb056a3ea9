"""What a SavedModel holds: the signatures, from the bytes of an image file to pixels.

Only TensorFlow's own operations may appear here, so that every serving binary can run it. Points
leave as (x, y) in pixels of the image that was sent, (0, 0) being the centre of its top-left pixel.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.methods.base import FeatureModel, LandmarkModel, Model
from tf_landmarks.metrics.calibration import Curve
from tf_landmarks.serving import batches, decoding
from tf_landmarks.serving import finder as finder_
from tf_landmarks.serving.views import ONE_VIEW

# Stands for "no landmark" where an image could not be decoded; NaN would make a whole JSON response
# invalid, and with it the answers for the good images of a batch.
MISSING = -1.0


class ServingModule:
    """A model with its geometry, ready to be saved.

    Attributes:
        yields: What the export gives for an image, "landmarks" or "features": commands ask for it, and for no
            method's name.
        baseline: The signatures that the untrained network is saved with, for evaluations to compare with.

    Args:
        model: A built model.
        geometry: How stored images become the model's input.
    """

    yields: str
    baseline: tuple[str, ...] = ()

    def __init__(self, model: Model, geometry: Geometry):
        self.model, self.geometry = model, geometry

    def signatures(self) -> dict:
        """The signatures by name."""
        raise NotImplementedError

    def facts(self) -> dict:
        """What an export says of itself beside its signatures."""
        return {"yields": self.yields}

    def extra_functions(self, names: tuple[str, ...]) -> dict:
        """Functions besides, which no server needs, where the named signatures are saved."""
        return {}

    def save(self, path: str, names: tuple[str, ...] = ()) -> None:
        """Writes a SavedModel with the named signatures, or with all.

        What is saved is the graphs and the variables, not the Keras model: Keras would add traces of
        its own, which nobody calls and which only Keras can read.
        """
        signatures = self.signatures()
        names = names or tuple(signatures)
        saved = tf.Module(name="tf_landmarks")
        saved.model_variables = self.variables
        for name, function in self.extra_functions(names).items():
            setattr(saved, name, function)
        tf.saved_model.save(saved, path, {name: signatures[name] for name in names})

    @property
    def variables(self) -> list[tf.Variable]:
        """All that the signatures read."""
        return self.model.variables

    @property
    def _images(self) -> tf.TensorSpec:
        return _image_batch("images")

    @property
    def _inputs(self) -> tf.TensorSpec:
        side = self.geometry.size
        return tf.TensorSpec([None, side, side, 3], tf.float32, name="inputs")

    @functools.cached_property
    def _found(self) -> Callable:
        """What the model finds in what the network sees: one graph, which all signatures call."""
        return _shared(self.model.represent, self._inputs)


class FeatureModule(ServingModule):
    """What is saved of a model that describes every place."""

    yields = "features"
    baseline = ("represent",)

    def signatures(self) -> dict:
        """See the base class."""
        return {"represent": _graph(self.represent, self._images)}

    def extra_functions(self, names: tuple[str, ...]) -> dict:
        """See the base class: what evaluation asks about images that it has warped."""
        return {"represent_inputs": _graph(self.represent_inputs, self._inputs)}

    def facts(self) -> dict:
        """See the base class."""
        return {**super().facts(), "descriptor_levels": list(self.model.descriptor_levels)}

    def represent_inputs(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The levels by name, `[B, h, w, D]` each, of what the network sees, `[B, S, S, 3]` in [0, 1]."""
        return dict(self._found(inputs).levels)

    def represent(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the levels by name, `[B, h, w, D]` each, of `images [B, H, W, 3]` uint8."""
        inputs, count = batches.at_least_one(self.geometry.view(images))
        return {name: level[:count] for name, level in self._found(inputs).levels.items()}


class LandmarkModule(ServingModule):
    """What is saved of a model that finds points."""

    yields = "landmarks"
    baseline = ("predict_images",)
    #: Makes a probability of what the model says of its confidence; None leaves it.
    calibration: Curve | None = None
    #: Of whose answers landmarks are the mean.
    views = ONE_VIEW
    #: Cuts the object out of pictures; None where these are seen whole.
    finder: finder_.Finder | None = None

    @property
    def variables(self) -> list[tf.Variable]:
        """See the base class."""
        return [*super().variables, *(self.finder.model.variables if self.finder else ())]

    def signatures(self) -> dict:
        """See the base class; `render` only for methods with a generator, `flow` for those that match images."""
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
        functions = {
            "serving_default": _graph(self.predict_bytes, image_bytes),
            "predict_images": _graph(self.predict_images, self._images),
            "represent": _graph(self.represent, self._images),
        }
        if self.model.has_generator:
            functions["render"] = _graph(self.render, self._images, self._landmarks)
        if self.model.has_correspondence:
            pair = (_image_batch(name) for name in ("images_a", "images_b"))
            functions["flow"] = _graph(self.flow, *pair)
        return functions

    def extra_functions(self, names: tuple[str, ...]) -> dict:
        """See the base class: what evaluation asks about images that it has warped."""
        functions = {"predict_inputs": _graph(self.predict_inputs, self._inputs)}
        if "render" in names:
            functions["render_inputs"] = _graph(self.render_inputs, self._inputs, self._landmarks)
        if "render" in names and self.model.renders_parts:
            functions["parts_inputs"] = _graph(self.parts_inputs, self._inputs)
        if self.model.has_correspondence:
            functions["flow_inputs"] = _graph(self.flow_inputs, self._inputs, self._inputs)
        return functions

    @functools.cached_property
    def _rendered(self) -> Callable:
        """Likewise, what its generator draws."""
        return _shared(self.model.render, self._inputs, self._landmarks)

    @functools.cached_property
    def _matched(self) -> Callable:
        """Likewise, how it matches two images."""
        return _shared(self.model.correspond, self._inputs, self._inputs)

    @property
    def _landmarks(self) -> tf.TensorSpec:
        shape = [None, self.model.spec.num_landmarks, 2]
        return tf.TensorSpec(shape, tf.float32, name="landmarks")

    def predict_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Finds landmarks in encoded images: JPEG, PNG, GIF or BMP, of any sizes.

        EXIF rotation is not applied: points refer to the pixels as stored. An image that cannot be
        decoded gets `ok` false, confidence 0 and landmarks -1, and does not disturb the others. With several views,
        `spread [B, K]` says how far apart their answers are, in pixels: the root of the mean square. With a finder,
        `boxes [B, 4]` int32 says what was looked at: left, top, width and height in pixels, 0 where there is no image. Of landmarks
        that labels taught, `names [B, K]` are there too.
        """
        seen, ok = self._decode_all(image_bytes, tf.size(image_bytes))
        outputs = self._predict(seen)
        good = ok[:, tf.newaxis]
        landmarks = tf.where(good[..., tf.newaxis], outputs.pop("landmarks"), MISSING)
        rest = {n: tf.where(good, v, tf.zeros_like(v)) for n, v in outputs.items()}
        return {"landmarks": landmarks, **rest, "ok": ok, **self._names(ok)}

    def predict_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Finds landmarks in `images [B, H, W, 3]` uint8 RGB."""
        seen = self._see(images)
        outputs = self._predict(seen)
        ok = tf.ones_like(seen.sizes[:, 0], tf.bool)
        return {**outputs, "ok": ok, **self._names(ok)}

    def predict_inputs(self, inputs: tf.Tensor) -> tf.Tensor:
        """Landmarks `[B, K, 2]` (y, x), corner convention, of what the network sees, `[B, S, S, 3]` in [0, 1]."""
        return self._found(inputs).points

    def represent(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `heatmaps` and `score_maps`, `[B, h, w, K]`, of `images [B, H, W, 3]` uint8, over the network's input."""
        inputs, count = batches.at_least_one(self._see(images).inputs)
        found = self._found(inputs)
        return {"heatmaps": found.heatmaps[:count], "score_maps": found.score_maps[:count]}

    def render(self, images: tf.Tensor, landmarks: tf.Tensor) -> dict[str, tf.Tensor]:
        """Draws the objects of images with other landmarks.

        Args:
            images: `[B, H, W, 3]` uint8, which give the look.
            landmarks: `[B, K, 2]` float32 (x, y) in pixels of `images`.

        Returns:
            `rendered [B, S, S, 3]` uint8, S the side of the network's input.
        """
        size = self.geometry.size
        points = self.geometry.to_network(coordinates.swap_xy(landmarks), tf.shape(images)[1:3])
        points = coordinates.corner_from_pixels(points, (size, size))
        inputs, count = batches.at_least_one(self.geometry.view(images))
        points, _ = batches.at_least_one(points)
        rendered = self._rendered(inputs, points)[:count]
        return {"rendered": tf.image.convert_image_dtype(rendered, tf.uint8, saturate=True)}

    def flow(self, images_a: tf.Tensor, images_b: tf.Tensor) -> dict[str, tf.Tensor]:
        """Matches places of pairs of images.

        Args:
            images_a: `[B, H, W, 3]` uint8.
            images_b: As many, of a size of their own.

        Returns:
            `cells_a` and `cells_b`: the places that are matched, `[B, h, w, 2]` (x, y) in pixels of the images; `a_of_b`:
            where in `images_a` each of `cells_b` is, likewise, and `b_of_a`.
        """
        (inputs_a, count), (inputs_b, _) = (
            batches.at_least_one(self.geometry.view(images)) for images in (images_a, images_b)
        )
        found = self._matched(inputs_a, inputs_b)
        b_of_a, a_of_b = found.second_of_first[:count], found.first_of_second[:count]
        cells_a, cells_b = (
            tf.zeros_like(places)
            + tf.constant(coordinates.corner_grid(places.shape[1:3]), tf.float32)
            for places in (b_of_a, a_of_b)
        )
        places = {
            "cells_a": (cells_a, images_a),
            "b_of_a": (b_of_a, images_b),
            "cells_b": (cells_b, images_b),
            "a_of_b": (a_of_b, images_a),
        }
        return {key: self._to_pixels(p, tf.shape(of)[1:3]) for key, (p, of) in places.items()}

    def render_inputs(self, inputs: tf.Tensor, landmarks: tf.Tensor) -> tf.Tensor:
        """What the generator draws, `[B, S, S, 3]`, with landmarks in the corner convention; see `render`."""
        return self._rendered(inputs, landmarks)

    def flow_inputs(self, inputs_a: tf.Tensor, inputs_b: tf.Tensor) -> dict[str, tf.Tensor]:
        """`Correspondence` by name, of what the network sees, `[B, S, S, 3]` in [0, 1] each."""
        return self._matched(inputs_a, inputs_b)._asdict()

    def parts_inputs(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """`Parts` by name, of what the network sees, `[B, S, S, 3]` in [0, 1]."""
        return self.model.render_parts(inputs)._asdict()

    def _to_pixels(self, points: tf.Tensor, image_size: tf.Tensor) -> tf.Tensor:
        """(y, x) in the corner convention of the network's input to (x, y) pixels of images."""
        pixels = coordinates.pixels_from_corner(points, [self.geometry.size] * 2)
        return coordinates.swap_xy(self.geometry.to_image(pixels, image_size))

    def _see(self, images: tf.Tensor) -> finder_.Seen:
        """What the network sees of `images [B, H, W, 3]` uint8."""
        see = finder_.whole if self.finder is None else self.finder.cut
        return see(images, self.geometry)

    def _predict(self, seen: finder_.Seen) -> dict[str, tf.Tensor]:
        inputs, count = batches.at_least_one(seen.inputs)
        found = self._found(self.views.look(inputs))
        of_views = self.views.bring_back(found.points)[:, :count]
        of_views = self._to_pixels(of_views, seen.sizes[:, tf.newaxis])
        of_views += tf.cast(seen.corners[:, tf.newaxis], tf.float32)
        confidence = tf.reshape(
            found.confidence, [self.views.count, -1, found.confidence.shape[-1]]
        )
        landmarks = tf.reduce_mean(of_views, axis=0)
        outputs = {
            "landmarks": landmarks,
            "confidence": self._calibrated(tf.reduce_mean(confidence, axis=0)[:count]),
        }
        if self.finder is not None:
            outputs["boxes"] = tf.concat([seen.corners, seen.sizes[:, ::-1]], axis=-1)
        if self.views.count > 1:
            apart = tf.reduce_sum(tf.square(of_views - landmarks), axis=-1)
            outputs["spread"] = tf.sqrt(tf.reduce_mean(apart, axis=0))
        return outputs

    def _names(self, ok: tf.Tensor) -> dict[str, tf.Tensor]:
        """The landmarks' names, if they have any, once for each image: servers want as many rows of every output."""
        if not self.model.names:
            return {}
        return {"names": tf.tile(tf.constant([self.model.names]), [tf.size(ok), 1])}

    def _calibrated(self, confidence: tf.Tensor) -> tf.Tensor:
        """`Curve.__call__` as a sum of ramps, one from each knot to the next."""
        if self.calibration is None:
            return confidence
        knots, levels = (np.float32(v) for v in dataclasses.astuple(self.calibration))
        widths = np.diff(knots)
        done = tf.clip_by_value((confidence[..., tf.newaxis] - knots[:-1]) / widths, 0.0, 1.0)
        return levels[0] + tf.reduce_sum(done * np.diff(levels), axis=-1)

    def _decode_all(
        self, image_bytes: tf.Tensor, count: tf.Tensor
    ) -> tuple[finder_.Seen, tf.Tensor]:
        """Decodes each image by itself; those that fail are black, of size 2x2, and not ok."""

        def decode(index, data):
            image = decoding.decode(data)
            size = tf.shape(image)[:2]
            tf.debugging.assert_greater_equal(size, 2, "an image needs 2x2 pixels")
            return index, image

        def see(index, image):  # whose faults are no image's, and are not passed over
            return index, *(values[0] for values in self._see(image[tf.newaxis]))

        side = self.geometry.size
        # One element more than there are images, so that the batch below is never empty.
        nothing = finder_.Seen(tf.zeros([side, side, 3]), tf.fill([2], 2), tf.zeros([2], tf.int32))
        spare = tf.data.Dataset.from_tensors((count, *nothing))
        decoded = (
            tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
            .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
            .ignore_errors()
            .map(see, num_parallel_calls=tf.data.AUTOTUNE)
            .concatenate(spare)
            .batch(tf.cast(count + 1, tf.int64))
        )
        rows, *seen = decoded.get_single_element()
        rows = rows[:, tf.newaxis]
        blank = (tf.repeat(values[tf.newaxis], count + 1, axis=0) for values in nothing)
        seen = (
            tf.tensor_scatter_nd_update(values, rows, given)[:count]
            for values, given in zip(blank, seen, strict=True)
        )
        ok = tf.tensor_scatter_nd_update(
            tf.zeros([count + 1], tf.bool), rows, tf.ones_like(rows[:, 0], tf.bool)
        )
        return finder_.Seen(*seen), ok[:count]


@functools.singledispatch
def serving_module(model: Model, geometry: Geometry) -> ServingModule:
    """Makes what is saved of a model, by the kind of thing that it yields.

    Args:
        model: A built model.
        geometry: How stored images become the model's input.

    Raises:
        UserError: If it yields nothing that could be served.
    """
    raise UserError(
        f"a {type(model).__name__} finds neither landmarks nor features and has no export"
    )


@serving_module.register
def _(model: LandmarkModel, geometry: Geometry) -> ServingModule:
    return LandmarkModule(model, geometry)


@serving_module.register
def _(model: FeatureModel, geometry: Geometry) -> ServingModule:
    return FeatureModule(model, geometry)


def _image_batch(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None, None, None, 3], tf.uint8, name=name)


def _shared(function: Callable, *inputs: tf.TensorSpec) -> Callable:
    """A function of tensors whose graph is built once, and called in the graphs of others."""

    def positional(*tensors: tf.Tensor):  # without what it may be told besides
        return function(*tensors)

    built = tf.function(positional, input_signature=inputs, autograph=False)
    return built.get_concrete_function()


def _graph(function: Callable, *inputs: tf.TensorSpec):
    """What is saved of a function of tensors of these kinds."""
    return tf.function(function, input_signature=inputs, autograph=False)
