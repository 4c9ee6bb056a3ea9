"""Losses on landmarks of two frames of a video between which the optical flow is known (LMDIS).

Landmarks and flows are (y, x) in units of the image's side, landmarks from its centre.

Source: Zhang et al. 2018, section 3 and appendix (equation 16).
"""

import tensorflow as tf

PRIOR_WIDTH = 1.0 / 16.0  # of a landmark in the motion prior, in units of the image's side


def gaussian_weights(landmarks: tf.Tensor, size: int, width: float) -> tf.Tensor:
    """Makes a Gaussian around each landmark, its sum over the pixels 1.

    Args:
        landmarks: `[B, K, 2]`.
        size: Side of the image, pixels.
        width: Standard deviation.

    Returns:
        `[B, size, size, K]`.
    """
    axis = (tf.range(size, dtype=tf.float32) + 0.5) / size - 0.5
    # A softmax of the exponent is the Gaussian divided by its sum, and stays one far outside the image.
    rows, columns = (
        tf.nn.softmax(
            -((axis[tf.newaxis, :, tf.newaxis] - landmarks[:, tf.newaxis, :, i]) ** 2)
            / (2 * width**2),
            axis=1,
        )
        for i in (0, 1)
    )
    return rows[:, :, tf.newaxis] * columns[:, tf.newaxis]


def sample_at(flow: tf.Tensor, landmarks: tf.Tensor) -> tf.Tensor:
    """Reads the flow at landmarks, `[B, K, 2]`: its mean under a Gaussian as wide as one pixel.

    Args:
        flow: `[B, size, size, 2]`.
        landmarks: `[B, K, 2]`.
    """
    size = flow.shape[1]
    return tf.einsum("bhwk,bhwd->bkd", gaussian_weights(landmarks, size, 1.0 / size), flow)


def flow_equivariance(
    landmarks: tf.Tensor, later: tf.Tensor, flow: tf.Tensor, valid: tf.Tensor
) -> tf.Tensor:
    """Measures how far landmarks of a later frame are from where the flow takes those of the first.

        mean over valid pairs of sum_k |x_k + O(x_k) - x'_k|^2

    Args:
        landmarks: `[B, K, 2]` in the first frame.
        later: `[B, K, 2]` in the later one.
        flow: `[B, size, size, 2]` from the first to the later frame.
        valid: `[B]` 1 where there is a later frame, 0 where there is none.

    Returns:
        Scalar, 0 if no pair is valid.
    """
    squares = tf.reduce_sum((landmarks + sample_at(flow, landmarks) - later) ** 2, axis=[1, 2])
    return tf.math.divide_no_nan(tf.reduce_sum(valid * squares), tf.reduce_sum(valid))


def motion_prior(landmarks: tf.Tensor, flow: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Draws landmarks to what moves (equation 16): without it they flee to where nothing does.

        - sum_u |O(u)|^2 sum_k R_k(u) / sum_u |O(u)|^2,    R_k a Gaussian around landmark k, of sum 1

    Args:
        landmarks: `[B, K, 2]` in the first frame.
        flow: `[B, size, size, 2]`.
        valid: `[B]`, as above.

    Returns:
        Scalar, at most 0; the mean over valid pairs.
    """
    motion = tf.reduce_sum(flow**2, axis=-1)
    covered = tf.reduce_sum(gaussian_weights(landmarks, flow.shape[1], PRIOR_WIDTH), axis=-1)
    share = tf.math.divide_no_nan(
        tf.reduce_sum(motion * covered, axis=[1, 2]), tf.reduce_sum(motion, axis=[1, 2])
    )
    return -tf.math.divide_no_nan(tf.reduce_sum(valid * share), tf.reduce_sum(valid))
