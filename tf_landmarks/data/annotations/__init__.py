"""Annotated landmarks of images and video frames, read from the files people have.

Points are (x, y) pixels of the image shown upright, x to the right, y down, and (0, 0) is the
centre of the top-left pixel. A missing point is NaN. A file for each kind:

- `wide`: `landmarks.csv` with `file`, then `<name>_x,<name>_y` per landmark; a video's table, with `frame`
  (0-based); SLEAP's analysis CSV.
- `deeplabcut`: `CollectedData_*` and predictions, CSV and HDF5 (`pandas_h5`).
- `coco`: COCO keypoints JSON.

Nothing is guessed: a cell, column or row that cannot be read, or contradicts another, stops with its place
and a remedy. `folder` says which files count, `on_disk` which image a row means, `plausible` whether points
and stated sizes fit the images.
"""

from tf_landmarks.data.annotations.base import Annotations
from tf_landmarks.data.annotations.folder import find_labelled
from tf_landmarks.data.annotations.plausible import check_points, check_sizes
from tf_landmarks.data.annotations.reading import read_annotations

__all__ = ["Annotations", "check_points", "check_sizes", "find_labelled", "read_annotations"]
