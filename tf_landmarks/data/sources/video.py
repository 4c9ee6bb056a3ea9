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
        request: What is asked for, some of which are videos.

    Raises:
        UserError: If none of the frames asked for is there.
    """

    neighbours = 50
    of_videos = True
    of_files = True

    @classmethod
    def matches(cls, request: base.Request) -> bool:
        """Takes a video, or a folder, list or pattern of some."""
        return bool(request.listing) and any(map(videos.is_video, request.listing.names))

    @classmethod
    def open(cls, request: base.Request) -> "VideoFolder":
        """Refuses what holds images too, and a pattern for frames."""
        num_videos = sum(map(videos.is_video, request.listing.names))
        num_images = sum(map(image_files.is_image, request.listing.names))
        if num_images:
            raise UserError(
                f"{request.flag}={request.data} holds {num_images} images and {num_videos} videos; give "
                "a folder that holds one of the two, or a pattern such as FOLDER/*.mp4"
            )
        request.refuse_frame_pattern()
        return cls(request)

    def __init__(self, request: base.Request):
        self.root = request.listing.root
        files = [name for name in request.listing.names if videos.is_video(name)]
        request.say_passed_over(files)
        chosen = request.frame_slice
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            opened = list(pool.map(self._open, files))
        #: The videos that can be read, by name.
        self.videos = {f: video for f, (video, _) in zip(files, opened, strict=True) if video}
        self.names, self.unreadable = [], {}
        self._files, places = files, []
        for number, (name, (video, flaw)) in enumerate(zip(files, opened, strict=True)):
            if video:
                frames = range(len(video))[chosen]
                self.names += [frame_names.frame_name(name, frame) for frame in frames]
                places += [(number, frame) for frame in frames]
            # What is missing at its end is no loss where only frames before that are asked for.
            ends = chosen.stop is not None and 0 <= chosen.stop <= (len(video) if video else 0)
            if flaw and not ends:
                self.unreadable[len(self.names)] = flaw
                self.names.append(name)
                places.append((-1 - number, 0))  # alone in its sequence
        if not self.names:
            raise UserError(
                f"--frames={request.frames} leaves no frame of {request.flag}={request.data}, of whose "
                f"videos the longest has {max(map(len, self.videos.values()), default=0)}"
            )
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
