"""Folders of images with annotations in all kinds that people have, for the tests of reading them."""

import json
import pathlib

import numpy as np
from PIL import Image

from tests.evaluation import toy_data
from tf_landmarks.data import labelled

DEEPLABCUT = pathlib.Path(__file__).parent / "deeplabcut"

NAN = None
#: What all good annotations of the images say, by the image's name: nose and tail.
RIGHT = {"a.png": [[10.5, 20], [30, 40]], "b.png": [[1, 2], [NAN, NAN]]}
#: And those of the frames of a video.
FRAMES = {"walk.avi#000000": RIGHT["a.png"], "walk.avi#000001": RIGHT["b.png"]}

CSV = "file,nose_x,nose_y,tail_x,tail_y\na.png,10.5,20,30,40\nb.png,1,2,,\n"
FRAME_CSV = "frame,nose_x,nose_y,tail_x,tail_y\n0,10.5,20,30,40\n1,1,2,,\n"
SLEAP = (
    "track,frame_idx,instance.score,nose.x,nose.y,nose.score,tail.x,tail.y,tail.score\n"
    ",0,0.9,10.5,20,0.2,30,40,0.3\n,1,0.8,1,2,0.3,,,\n"
)


def coco(**changes) -> dict:
    """COCO keypoints that say what `RIGHT` says, and other entries instead of some."""
    content = {
        "images": [
            {"id": 3, "file_name": "a.png", "width": 64, "height": 48},
            {"id": 7, "file_name": "b.png", "width": 64, "height": 48},
        ],
        "annotations": [
            keypoints(1, 3, [10.5, 20, 2, 30, 40, 1]),
            keypoints(2, 7, [1, 2, 2, 0, 0, 0]),
        ],
        "categories": [{"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}],
    }
    return content | changes


def keypoints(number, image, values, **changes) -> dict:
    return {"id": number, "image_id": image, "category_id": 1, "keypoints": values} | changes


def write(folder: pathlib.Path, files: dict) -> None:
    """Writes files by their names: text, bytes, JSON; an image where it is a size; a video of 10 frames."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".avi"):
            toy_data.write_video(path, 10)
        elif isinstance(content, tuple):
            Image.new("RGB", content).save(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_bytes(content.encode())
        else:
            path.write_text(json.dumps(content))


IMAGES = {"a.png": (64, 48), "b.png": (64, 48)}


def read(folder: pathlib.Path) -> dict[str, list]:
    """The points of each labelled image, nose and tail, by the image's name counted from the folder."""
    part = labelled.read_split(str(folder))
    order = [part.names.index(name) for name in ("nose", "tail")]
    points = np.where(np.isnan(part.points), None, part.points)[:, order].tolist()
    names = [str(pathlib.Path(path).relative_to(folder)) for path in part.paths]
    return dict(zip(names, points, strict=True))
