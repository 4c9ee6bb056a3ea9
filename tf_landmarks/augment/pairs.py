"""What all augmentations have in common that make pairs: two images of one object, whose geometry differs.

    source, target  [B, S, S, 3] float32 in [0, 1]; a source may have a border around what the network sees
    mask            [B, S, S, 1] float32 in [0, 1]: how much each target pixel counts in a loss
    correspondence  [B, P, 2] float32 (y, x), corner convention: where P query points of the source lie in the target

A pair has a source and a target; which of the others it has, its own module says.
"""

import tensorflow as tf

from tf_landmarks.augment.augmentation import Augmentation, Batch

#: Side of the input, pixels, from which graphs compile their warps: several times faster, which is not worth the
#: seconds of compiling for small images, nor outside the input pipeline.
COMPILED_FROM = 64


class PairAugmentation(Augmentation):
    """Base of the augmentations whose batches hold a `source` and a `target`."""

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Shows the source, without its border if it has one, and the target."""
        target = batch["target"]
        return [tf.image.resize_with_crop_or_pad(batch["source"], *target.shape[1:3]), target]
