"""A model with a head: it finds the landmarks that people named."""

import dataclasses

import tensorflow as tf

from tf_landmarks.layers import heads, soft_argmax
from tf_landmarks.methods import base

# Of heads without heat maps: cells a side of a blob where each point is, and its width; the image is 2 units wide.
_BLOB_SIDE, _BLOB_STD = 32, 0.06


class NamedLandmarks(base.LandmarkModel):
    """What a trained model knows, read by a head that was fitted to labelled images.

    Args:
        model: Yields points or features; neither it nor the head is trained any more.
        head: Reads what it yields.
    """

    can_grow = False

    def __init__(self, model: base.LandmarkModel | base.FeatureModel, head: heads.Head, **kwargs):
        spec = dataclasses.replace(model.spec, num_landmarks=len(head.names))
        super().__init__(spec, None, **kwargs)
        self.model, self.head = model, head

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the head."""
        return self.head.names

    def represent(self, images: tf.Tensor, training: bool = False) -> base.Landmarks:
        """See the base class. Of a head without heat maps, each is a narrow blob where the point is."""
        found = self.model.represent(images, training)
        if isinstance(found, base.Features):
            located = self.head(found.levels)
        else:
            located = self.head(found.points, found.confidence)
        heatmaps = located.heatmaps
        if heatmaps is None:
            blobs = soft_argmax.gaussian_maps(located.points, (_BLOB_SIDE,) * 2, _BLOB_STD)
            heatmaps = blobs / tf.reduce_sum(blobs, axis=(1, 2), keepdims=True)
        scores = tf.math.log(heatmaps + 1e-12)
        return base.Landmarks(located.points, heatmaps, scores, located.confidence)
