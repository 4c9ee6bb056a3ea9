"""What images show, in a few bytes: the same picture is known again under any name, in any folder or archive."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Collection, Iterable

import numpy as np

from tf_landmarks.data import frame_names
from tf_landmarks.data.image_files import UnreadableImageError
from tf_landmarks.data.sources.base import Source


@dataclasses.dataclass(frozen=True)
class KnownImages:
    """Images that another set may hold too.

    Attributes:
        paths: Their files, or frames.
        fingerprints: Of what they show, as `fingerprint` gives them; none where nobody took them.
    """

    paths: Collection[str]
    fingerprints: Collection[str] = ()

    def among(self, paths: Iterable[str], fingerprints: Iterable[str]) -> np.ndarray:
        """`[N]` bool: which images, by their paths and fingerprints, are among the known ones."""
        # Both sides are resolved: data folders often hold links to a common pool of files.
        resolved = {frame_names.real_path(path) for path in self.paths}
        shown = set(self.fingerprints)
        pairs = zip(paths, fingerprints, strict=True)
        return np.array(
            [frame_names.real_path(p) in resolved or f in shown for p, f in pairs], bool
        )


NONE = KnownImages(())


def fingerprint(image: np.ndarray) -> str:
    """Returns 16 hexadecimal digits of the pixels of an image, `[H, W, 3]` uint8, and its size."""
    digest = hashlib.blake2b(np.int64(image.shape).tobytes(), digest_size=8)
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def of_source(source: Source, indices: np.ndarray) -> list[str]:
    """Takes the fingerprints of images of a source, read once more; of those that can be read.

    Images that are drawn as they are read have none: to draw them all takes longer than it tells.
    """
    if not source.is_stored:
        return []

    def take(index: int) -> str | None:
        with contextlib.suppress(UnreadableImageError):
            return fingerprint(source.read_whole(index))
        return None

    # A thread reads neighbours: each keeps one video open, and its place there.
    chunks = np.array_split(np.asarray(indices), os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(len(chunks)) as pool:
        taken = pool.map(lambda chunk: [take(int(index)) for index in chunk], chunks)
        return [found for chunk in taken for found in chunk if found]
