"""PCK as the released code of Cheng et al. 2021 counts it on birds; the plain one is `landmark_errors.pck`."""

import numpy as np

from tf_landmarks.metrics import landmark_errors

FRAME = 48  # pixels along each side of the frame in which distances are taken
ALPHA = 0.05  # of the frame: 2.4 pixels
# Distances carry rounding: what is 3 pixels must not be truncated to 2.
_ROUNDING = 1 + 1e-9


def pck_compat(predicted, annotated, batch_size: int = 32) -> float:
    """Percentage of correct keypoints, distances truncated to whole pixels, a mean over parts and then over batches.

        place = (u + 1) / 2 * 47;   right if floor(|p' - p|) < 0.05 * 48 = 2.4, which is |p' - p| < 3

    So a part may be off by 6.25 % of the frame, not by 5. In each batch the share of right ones is taken for each
    part, then the mean over the parts that the batch shows; batches weigh by their images. The score depends on the
    order of images, which must be that of their files. A part at the left or the upper border, where a
    coordinate of the frame is not above 0, counts as invisible.

    Args:
        predicted: `[N, A, 2]` in the corner convention of the network's input, see coordinates.py.
        annotated: The same, NaN where invisible.
        batch_size: Images in a batch, published: 32; the last one may be smaller.

    Returns:
        Percent; batches that show no part are left out, NaN if all are.
    """
    predicted, annotated = (
        (np.asarray(points, np.float64) + 1) / 2 * (FRAME - 1) for points in (predicted, annotated)
    )
    annotated = np.where((annotated > 0).all(axis=-1, keepdims=True), annotated, np.nan)
    distances = np.floor(landmark_errors.point_distances(predicted, annotated) * _ROUNDING)
    hits = np.where(np.isnan(distances), np.nan, distances < ALPHA * FRAME)
    total, images = 0.0, 0
    for start in range(0, len(hits), batch_size):
        batch = hits[start : start + batch_size]
        shown = ~np.isnan(batch).all(axis=0)
        if shown.any():
            total += len(batch) * np.nanmean(batch[:, shown], axis=0).mean()
            images += len(batch)
    return float(100 * total / images) if images else float("nan")
