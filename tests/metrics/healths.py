"""Landmarks whose state of health is known."""

import numpy as np

from tf_landmarks.metrics import unsupervised


def health(**changes) -> unsupervised.Health:
    """Three healthy points, but for what is changed."""
    good = {
        "num_images": 8,
        "spread_percent": np.full(3, 7.0),
        "equivariance_percent": np.full(3, 1.0),
        "lag": np.full(3, 0.1),
        "border_share": np.zeros(3),
        "contrast": np.full(3, 0.9),
        "duplicates": (),
        "scatter_percent": 20.0,
        "all_alike": False,
    }
    return unsupervised.Health(**(good | changes))
