"""Video files, every frame of which is an image."""

import concurrent.futures
import os

import numpy as np

from tf_landmarks.data import frame_names, image_files, videos
from tf_landmarks.data.sources import base
from tf_landmarks.errors import UserError


class VideoFolder(base.Source):
    """Every frame of a video file, or of all video files below a folder, in the order of their names.

    A file that cannot be opened is one unreadable element, named like the file; so is what is missing
    of one that is cut short.

    Args:
        path: The file or folder.
    """

    neighbours = 50
    of_videos = True

    @classmethod
    def matches(cls, request: base.Request) -> bool:
        """Takes a video, or a folder that holds some."""
        return any(videos.is_video(name) for name in request.files)

    @classmethod
    def open(cls, request: base.Request) -> "VideoFolder":
        """Refuses a folder that holds images too, and a pattern for frames."""
        num_videos = sum(videos.is_video(name) for name in request.files)
        num_images = sum(base.ending(name) in image_files.EXTENSIONS for name in request.files)
        if num_images:
            raise UserError(
                f"{request.flag}={request.folder} holds {num_images} images and {num_videos} videos; give "
                "a folder that holds one of the two"
            )
        request.refuse_frame_pattern()
        return cls(request.folder)

    def __init__(self, path: str):
        single = os.path.isfile(path)
        self.root = (os.path.dirname(path) or os.curdir) if single else path
        files = [os.path.basename(path)] if single else base.list_files(path)
        files = [name for name in files if videos.is_video(name)]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            opened = list(pool.map(self._open, files))
        #: The videos that can be read, by name.
        self.videos = {f: video for f, (video, _) in zip(files, opened, strict=True) if video}
        self.names, self.unreadable = [], {}
        self._files, places = files, []
        for number, (name, (video, flaw)) in enumerate(zip(files, opened, strict=True)):
            if video:
                self.names += [frame_names.frame_name(name, frame) for frame in range(len(video))]
                places += [(number, frame) for frame in range(len(video))]
            if flaw:
                self.unreadable[len(self.names)] = flaw
                self.names.append(name)
                places.append((-1 - number, 0))  # alone in its sequence
        self.sequences, self.frame_numbers = np.array(places, np.int64).T

    def frame_of(self, index: int) -> tuple[str, int | None]:
        return frame_names.split_name(self.names[index])

    def fps(self, file: str) -> float:
        return self.videos[file].fps

    def read(self, index: int) -> np.ndarray:
        if index in self.unreadable:
            raise image_files.UnreadableImageError(self.unreadable[index])
        video = self.videos[self._files[self.sequences[index]]]
        return video.read(int(self.frame_numbers[index]))

    def _open(self, name: str) -> tuple[videos.Video | None, str]:
        try:
            video = videos.Video(os.path.join(self.root, name))
        except image_files.UnreadableImageError as error:
            return None, str(error)
        return video, video.flaw
