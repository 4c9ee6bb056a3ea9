"""The kinds of heads that features can have, as flags offer them: read before TensorFlow is imported."""

KINDS = ("auto", "prototype", "ridge", "heatmap", "virtual_points")
