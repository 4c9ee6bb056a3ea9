"""Decoding image files inside a graph, with TensorFlow's own operations alone."""

import tensorflow as tf


def decode(data: tf.Tensor) -> tf.Tensor:
    """Decodes one image to `[H, W, 3]` uint8, as `data/image_files.py` does.

    But for EXIF rotation, WebP, and transparent pixels of a GIF, which are black here.
    """

    def png():
        # Byte 24 of its head is the bit depth; what is shorter is refused by the decoder.
        byte = tf.strings.substr(data + b"\0" * 32, 24, 1)
        bits = tf.cast(tf.io.decode_raw(byte, tf.uint8)[0], tf.int32)
        pixels = tf.cond(bits == 16, lambda: _deep_png(data), lambda: tf.io.decode_png(data, 4))
        alpha = pixels[..., 3:]
        # The alpha that TensorFlow adds is the largest number of the bit depth, 15 for 4 bits, where
        # colors are already brought to 0-255.
        added = (bits < 8) & tf.reduce_all(tf.cast(alpha, tf.int32) == 2**bits - 1)
        alpha = tf.cast(tf.where(added, tf.constant(255, tf.uint8), alpha), tf.float32) / 255.0
        colors = tf.cast(pixels[..., :3], tf.float32)
        return tf.cast(tf.round(colors * alpha + 255.0 * (1.0 - alpha)), tf.uint8)

    def jpeg():
        return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")

    def bmp():
        pixels = tf.io.decode_bmp(data)
        one_byte = tf.shape(pixels)[2] == 1
        return tf.cond(one_byte, lambda: _look_up(pixels[..., 0], data), lambda: pixels[..., :3])

    def other():
        return tf.io.decode_image(data, channels=3, expand_animations=False)

    head = tf.strings.substr(data, 0, 3)
    kinds = [
        (head == b"\x89PN", png),
        (head == b"\xff\xd8\xff", jpeg),
        (tf.strings.substr(head, 0, 2) == b"BM", bmp),
    ]
    return tf.ensure_shape(tf.case(kinds, default=other), [None, None, 3])


def _deep_png(data: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG of 16 bits to `[H, W, 4]` uint8, its colors scaled as data/pixel_depth.py says."""
    pixels = tf.cast(tf.io.decode_png(data, 4, tf.uint16), tf.float64)
    colors = pixels[..., :3]
    least, largest = tf.reduce_min(colors), tf.reduce_max(colors)
    stretch = (largest - least) / 255.0
    stretch = tf.where(stretch > 0, stretch, tf.ones_like(stretch))
    low, unit = least - stretch / 2.0, stretch
    for bits in (16, 14, 12, 10, 8):
        fits = (largest >= 64) & (largest < 2**bits)
        low = tf.where(fits, tf.zeros_like(low), low)
        unit = tf.where(fits, tf.constant(2.0 ** (bits - 8), tf.float64), unit)
    colors = tf.clip_by_value(tf.floor((colors - low) / unit), 0.0, 255.0)
    return tf.cast(tf.concat([colors, tf.floor(pixels[..., 3:] / 256.0)], axis=-1), tf.uint8)


def _look_up(indices: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
    """Colors `[H, W, 3]` of a BMP of 8 bits, whose palette TensorFlow does not apply.

    The palette follows the 14 bytes of the file's head and the head of the image, whose first number
    is its own length: four bytes a colour, blue first.
    """
    length = tf.io.decode_raw(tf.strings.substr(data, 14, 4), tf.int32)[0]
    pixels_at = tf.io.decode_raw(tf.strings.substr(data, 10, 4), tf.int32)[0]
    start = 14 + length
    palette = tf.io.decode_raw(tf.strings.substr(data, start, pixels_at - start), tf.uint8)
    return tf.gather(tf.reshape(palette, [-1, 4])[:, 2::-1], tf.cast(indices, tf.int32))
