"""Heatmaps with their marginals, and all heatmaps of an image in one colour picture."""

import cv2
import numpy as np

from tf_landmarks.visualize import overlays


def with_marginals(heatmap: np.ndarray, side: int = 96) -> np.ndarray:
    """One heatmap with its column sums above and its row sums at its left.

    Args:
        heatmap: `[h, w]`, a distribution.
        side: Side of the heatmap in the picture, pixels; the marginals take a fifth more.

    Returns:
        `[1.2 side, 1.2 side, 3]` uint8.
    """
    strip = side // 5
    canvas = np.full((side + strip, side + strip, 3), 255, np.uint8)
    peak = heatmap / max(heatmap.max(), 1e-12)
    shown = cv2.resize(peak.astype(np.float32), (side, side), interpolation=cv2.INTER_NEAREST)
    canvas[strip:, strip:] = cv2.applyColorMap(np.uint8(255 * shown), cv2.COLORMAP_VIRIDIS)[
        ..., ::-1
    ]
    for axis in (0, 1):
        profile = heatmap.sum(axis=axis)
        lengths = profile[np.arange(side) * len(profile) // side] / max(profile.max(), 1e-12)
        for i, length in enumerate(lengths):
            bar = strip - 1 - round(length * (strip - 2))
            if axis == 0:
                canvas[bar : strip - 1, strip + i] = (70, 70, 70)
            else:
                canvas[strip + i, bar : strip - 1] = (70, 70, 70)
    return canvas


def blend(image: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """All heatmaps of an image in their landmarks' colours, over the darkened image.

    Each is shown by how far it rises above its lowest value: a flat one, which says nothing, is dark.

    Args:
        image: `[H, W, 3]` uint8.
        heatmaps: `[h, w, K]` distributions over the same image.

    Returns:
        `[H, W, 3]` uint8.
    """
    height, width = image.shape[:2]
    glow = np.zeros((height, width, 3), np.float32)
    cover = np.zeros((height, width, 1), np.float32)
    for index in range(heatmaps.shape[-1]):
        heatmap = heatmaps[..., index]
        peak = (heatmap - heatmap.min()) / max(heatmap.max(), 1e-12)
        peak = cv2.resize(peak.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        peak = peak[..., np.newaxis]
        glow = np.maximum(glow, peak * np.array(overlays.color(index), np.float32))
        cover = np.maximum(cover, peak)
    return np.uint8(np.clip(0.45 * image * (1 - cover) + glow, 0, 255))
