"""Models for predictions, that need no network."""

import numpy as np

from tf_landmarks.inference.exported import Prediction, ViewsPrediction


class CornerModel:
    """Finds two landmarks: the centre of the top-left pixel and that of the bottom-right one."""

    num_landmarks = 2
    landmark_names = ("0", "1")
    num_views = 1

    def predict(self, images):
        points = [[[0, 0], [image.shape[1] - 1, image.shape[0] - 1]] for image in images]
        points = np.array(points, np.float32).reshape(-1, 2, 2)
        return Prediction(points, np.full(points.shape[:2], 0.5, np.float32))


class SureModel(CornerModel):
    """Finds the same, in images of 12 rows the second landmark with little confidence."""

    def predict(self, images):
        found = super().predict(images)
        low = [[0.9, 0.3 if len(image) == 12 else 0.9] for image in images]
        return Prediction(found.landmarks, np.array(low, np.float32).reshape(-1, 2))


class ManyViewsModel(CornerModel):
    """Finds the same in three views, which are half a pixel and a pixel apart."""

    num_views = 3

    def predict(self, images):
        found = super().predict(images)
        return ViewsPrediction(*found, np.tile(np.float32([0.5, 1.0]), [len(images), 1]))
