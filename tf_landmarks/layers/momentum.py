"""Keys of momentum contrast: an encoder that follows another slowly, and a queue of what it said (He et al. 2020)."""

import tensorflow as tf

from tf_landmarks.layers import resnet


class MomentumKeys(tf.keras.layers.Layer):
    """A copy of an encoder, and the queue of its latest keys.

    No gradient reaches it: who trains a model leaves its variables out. All of it is part of a checkpoint.

    Args:
        encoder: A new one, from images to levels of features.
        embedding: A new one, from the last level to keys, unit vectors `[B, D]`.
        dim: D.
        length: K, keys in the queue.
    """

    def __init__(
        self,
        encoder: tf.keras.layers.Layer,
        embedding: resnet.Embedding,
        dim: int,
        length: int,
        **kwargs,
    ):
        super().__init__(dtype="float32", **kwargs)
        self.encoder, self.embedding = encoder, embedding
        # Keys and draws are the same on every replica.
        shared = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        limit = (3.0 / dim) ** 0.5  # their length is 1 on average
        self.queue = self.add_weight(
            "queue", [length, dim],
            initializer=tf.keras.initializers.RandomUniform(-limit, limit), **shared,
        )  # fmt: skip
        self.pointer = self.add_weight("pointer", [], tf.int64, "zeros", **shared)

    def call(
        self, images: tf.Tensor, seed: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes keys of `images [B, S, S, 3]`.

        In training, the images of all replicas are dealt out anew, and their keys brought back into order: what
        normalises a key then says nothing of whose it is ("Shuffling BN").

        Args:
            images: This replica's, as many as each other's.
            seed: `[2]` integers, the same on each: by what they are dealt out.
            training: Whether batch normalisation takes the statistics of the batch.

        Returns:
            Keys of these images, `[B, D]`, and those of all replicas' images in their order; without gradient.
        """
        if not training:
            keys = tf.stop_gradient(self._encode(images, training))
            return keys, keys
        context = tf.distribute.get_replica_context()
        replicas, count = context.num_replicas_in_sync, tf.shape(images)[0]
        rows = tf.range(count) + count * context.replica_id_in_sync_group
        order = tf.random.experimental.stateless_shuffle(tf.range(count * replicas), seed)
        dealt = tf.gather(_gather(context, images), tf.gather(order, rows))
        dealt = tf.ensure_shape(dealt, images.shape)
        keys = _gather(context, tf.stop_gradient(self._encode(dealt, training)))
        keys = tf.gather(keys, tf.math.invert_permutation(order))
        return tf.gather(keys, rows), keys

    def push(self, keys: tf.Tensor) -> None:
        """Writes `keys [N, D]` over the oldest of the queue."""
        length = self.queue.shape[0]
        keys = keys[-length:]
        count = tf.shape(keys, tf.int64)[0]
        rows = (self.pointer + tf.range(count)) % length
        self.queue.assign(tf.tensor_scatter_nd_update(self.queue, rows[:, tf.newaxis], keys))
        self.pointer.assign((self.pointer + count) % length)

    def follow(
        self, encoder: tf.keras.layers.Layer, embedding: resnet.Embedding, momentum: float
    ) -> None:
        """Moves the weights towards those that they are copies of, and keeps `momentum` of themselves.

        Statistics of batch normalisation are its own.
        """
        for copy, layer in ((self.encoder, encoder), (self.embedding, embedding)):
            for own, other in zip(copy.trainable_variables, layer.trainable_variables, strict=True):
                own.assign(momentum * own + (1.0 - momentum) * other)

    def _encode(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        levels = self.encoder(images, training=training)
        return self.embedding(levels[resnet.LEVELS[-1]])


def _gather(context: tf.distribute.ReplicaContext, values: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, one replica's after the other's."""
    return context.all_gather(values, axis=0) if context.num_replicas_in_sync > 1 else values
