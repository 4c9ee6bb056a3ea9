"""What `--data` names: images that can be read one by one, by index.

A source is a sequence. Random access is what makes a batch a pure function of the seed and the step,
and so a resumed run the run uninterrupted.
"""

import os
from collections import Counter

import numpy as np

from tf_landmarks.data import decode, made_faces

MADE_FACES = "made_faces"


class Source:
    """A sequence of images.

    Attributes:
        names: One per image; for files the path relative to `root`.
        root: The folder the names are relative to, or a description.
    """

    names: list[str]
    root: str

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> np.ndarray:
        """Reads image `index` as `[H, W, 3]` uint8 RGB.

        Raises:
            UnreadableImageError: If it cannot be read.
        """
        raise NotImplementedError

    def partners(self, indices: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Another view of the same object for each image, as two frames of a video are.

        Args:
            indices: `[B]` integers.
            draws: `[B]` uniform in [0, 1), from which the choice is made.

        Returns:
            `[B]` indices.

        Raises:
            ValueError: If the images of this source do not come in pairs.
        """
        raise ValueError(
            f"--data={self.root} holds single images, and frame pairs need two views of one object; "
            "take a pairing by warps, or videos"
        )


class ImageFolder(Source):
    """Every image file below a folder, in the order of their names."""

    def __init__(self, root: str, flag: str = "--data"):
        self.root = root
        self.names, others, seen = [], Counter(), set()
        for folder, folders, files in os.walk(root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:  # a link to a folder above would lead round in circles
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in files:
                extension = os.path.splitext(name)[1].lower()
                if name.startswith("."):
                    continue
                if extension in decode.EXTENSIONS:
                    self.names.append(os.path.relpath(os.path.join(folder, name), root))
                else:
                    others[extension or "no ending"] += 1
        self.names.sort()
        if not self.names:
            found = ", ".join(f"{count} {ending}" for ending, count in others.most_common(5))
            raise ValueError(
                f"{flag}={root} holds no image (found: {found or 'nothing'}); it should hold "
                f"{', '.join(decode.EXTENSIONS)} files, at any depth"
            )

    def read(self, index: int) -> np.ndarray:
        return decode.read_image(os.path.join(self.root, self.names[index]))


class MadeFaces(Source):
    """Drawn faces, made as they are read: two poses of each look, neighbours in the sequence."""

    def __init__(self, num_looks: int = 2000, size: int = 64, seed: int = 0):
        self.root = MADE_FACES
        self._size, self._seed = size, seed
        self.names = [f"look{i // 2:05d}_pose{i % 2}" for i in range(2 * num_looks)]

    def read(self, index: int) -> np.ndarray:
        image, _ = made_faces.make_face(self._seed, index // 2, index % 2, self._size)
        return image

    def partners(self, indices: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return indices ^ 1


def open_source(data: str, flag: str = "--data", prefer_train: bool = True) -> Source:
    """Opens what `--data` names: `made_faces`, or a folder of images.

    Args:
        data: The flag's value.
        flag: The flag, for messages.
        prefer_train: Of a folder with a `train/` inside, take that part.

    Returns:
        The source.

    Raises:
        ValueError: If there is no such thing, or no image in it; says what to do.
    """
    if data == MADE_FACES:
        return MadeFaces()
    if not os.path.exists(data):
        raise ValueError(
            f"{flag}={data} does not exist; it takes a folder of images, or {MADE_FACES} "
            "for drawn faces that need no files"
        )
    if not os.path.isdir(data):
        raise ValueError(f"{flag}={data} is a file; it takes the folder that holds the images")
    train = os.path.join(data, "train")
    return ImageFolder(train if prefer_train and os.path.isdir(train) else data, flag)


def split(names: list[str], validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits images into those to train on and those to tune on.

    Ten neighbours in name order stay together: frames of a video are often numbered, and a frame
    between two training frames would be no test of anything.

    Args:
        names: Names in order.
        validation_fraction: Share for validation, in [0, 1).
        seed: The split is a pure function of it and the number of names.

    Returns:
        Indices for training and for validation, both ascending.

    Raises:
        ValueError: If the fraction is out of range, or leaves one of the two parts empty.
    """
    if not 0.0 <= validation_fraction < 1.0:
        raise ValueError(f"--validation_fraction={validation_fraction} must be in [0, 1)")
    blocks = np.array_split(np.arange(len(names)), max(1, len(names) // 10))
    order = np.random.default_rng(seed).permutation(len(blocks))
    wanted = round(validation_fraction * len(blocks))
    if validation_fraction and not 0 < wanted < len(blocks):
        raise ValueError(
            f"--validation_fraction={validation_fraction} of {len(names)} images leaves a part "
            "empty; give more images or set it to 0"
        )
    chosen = set(order[:wanted].tolist())
    parts = [[b for i, b in enumerate(blocks) if (i in chosen) == held] for held in (False, True)]
    return tuple(np.concatenate([*part, np.zeros(0, int)]).astype(np.int64) for part in parts)
