"""The options of a run, apart from those of its method; each becomes a flag of the same name."""

import dataclasses
from typing import Literal

from tf_landmarks.data import sources
from tf_landmarks.data.cropping import Crop, Cropping
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import MAX_GAP, MIN_GAP
from tf_landmarks.errors import UserError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
StrategyName = Literal["auto", "one", "mirrored", "multi_worker"]
Sampler = Literal["own", "dense_image_warp"]


def option(default, help_text: str, may_change: bool = False):
    """A field of the options of a run or a method.

    Args:
        default: Its default; a dataclass nests, and its fields become flags too.
        help_text: Becomes the help of its flag.
        may_change: Whether a resumed run may have another value.
    """
    metadata = {"help": help_text, "may_change": may_change}
    if dataclasses.is_dataclass(default):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Everything about a run that does not belong to a method.

    Fields marked `may_change` may differ when a run is resumed; the others make it another run.
    """

    method: str = option("imm", "which method trains")
    data: str = option(
        "made_faces",
        "what to train on: made_faces (drawn, needs no files); an image, a video, a folder of images or of videos at any depth, a pattern such as 'walks/*.png', or a .txt that lists paths; "
        "of a folder with train/ inside, that part; a folder of idx files (MNIST), of which the training part; tfrecord:PATTERN; tfds:NAME[:SPLIT], a set of tensorflow-datasets",
        may_change=True,
    )
    classes: str = option(
        "",
        "of idx files and sets of tfds:, the labels to take, for instance 3 or 2,9; all if empty",
    )
    frames: str = option(
        "",
        "of each video or stack, the frames to take, start:stop:step as in Python: 0:500:5 is every fifth of the first 500; all if empty",
    )
    frame_pattern: str = option(
        "",
        "makes frame pairs of still images whose names tell video and frame: a regular expression with the groups sequence and frame, "
        f"for walk1_f0012.jpg {sources.EXAMPLE_PATTERN}; where some images stand alone, labelled|(?P<sequence>video)_f(?P<frame>\\d+)",
    )
    min_gap: int = option(MIN_GAP, "least distance of the two images of a frame pair, frames")
    max_gap: int = option(MAX_GAP, "largest distance of the two images of a frame pair, frames")
    run_dir: str = option(
        "", "where the run is kept; runs/<flagfile>_<data> if not given", may_change=True
    )
    init_from: str = option(
        "",
        "a run whose weights training starts from, of the same networks; --num_landmarks may be larger",
    )
    steps: int = option(
        10_000, "training steps; 0: the network as it begins is exported", may_change=True
    )
    batch_size: int = option(32, "images per step, over all replicas together")
    image_size: int = option(128, "side of the network's input, pixels")
    num_landmarks: int = option(10, "landmarks to learn")
    crop: Crop = option(
        "none",
        "auto: cut out of each picture what moves before a still background, with a margin, before all else: for objects "
        "that fill a small part of the picture; tools/find_boxes.py shows what is cut out",
    )
    boxes: str = option(
        "",
        "a table of boxes to cut out instead: file,frame,left,top,width,height in pixels",
    )
    crop_fraction: float = option(
        1.0, "share of the image's side that the network sees, cut from the centre"
    )
    keep_aspect: bool = option(True, "pad images to a square instead of squeezing them")
    border: int = option(
        0,
        "pixels of one grey around the image, within --image_size: room to move for what fills it",
    )
    border_value: float = option(0.0, "grey of the border: 0 is black, 1 white")
    validation_fraction: float = option(0.0, "share of the images held out for tuning")
    max_bad_fraction: float = option(0.01, "share of unreadable files beyond which training stops")
    cache_mib: float = option(
        1024.0,
        "a data set of up to this many MiB is decoded once and kept in memory",
        may_change=True,
    )
    precision: Precision = option(
        "auto",
        "number format of the networks' arithmetic; auto takes what this machine does fastest",
    )
    sampler: Sampler = option(
        "own",
        "what warps images in training: our own bilinear sampler, or tensorflow-addons' dense_image_warp, which "
        "it was checked against, ten times slower and for Python 3.11 only",
    )
    strategy: StrategyName = option(
        "auto",
        "one device; mirrored over all GPUs (or --replicas logical CPUs); multi_worker: over all machines that TF_CONFIG lists; auto mirrors where there are several GPUs",
        may_change=True,
    )
    replicas: int = option(
        0, "replicas of --strategy=mirrored; 0 means one per GPU", may_change=True
    )
    sync_batch_norm: bool = option(False, "share batch statistics between replicas")
    seed: int = option(0, "seed of everything that is random")
    accumulation_steps: int = option(
        1,
        "micro-batches into which a replica's batch is cut where it does not fit into memory at once",
    )
    deterministic: bool = option(
        False,
        "the same command gives the same weights, bit for bit, on the same machine; slower on GPUs",
    )
    keep_best: bool = option(
        False,
        "export the weights that scored best, without labels, at an evaluation (--eval_every), not the "
        "last; hold images out for it (--validation_fraction)",
    )
    log_every: int = option(100, "steps between two logged lines", may_change=True)
    eval_every: int = option(
        1000, "steps between two evaluations: validation losses, pictures", may_change=True
    )
    save_every: int = option(1000, "steps between two checkpoints", may_change=True)

    @property
    def geometry(self) -> Geometry:
        """How images become the network's input."""
        return Geometry(
            self.image_size, self.crop_fraction, self.keep_aspect, self.border, self.border_value
        )

    @property
    def cropping(self) -> Cropping:
        """How objects are cut out of pictures."""
        return Cropping(self.crop, self.boxes)

    def check(self) -> None:
        """Raises UserError, naming the flag, for a value that cannot work."""
        if self.steps < 0:
            raise UserError(f"--steps={self.steps} must be at least 0")
        for name in (
            "batch_size",
            "image_size",
            "num_landmarks",
            "min_gap",
            "accumulation_steps",
            "log_every",
            "eval_every",
            "save_every",
        ):
            if getattr(self, name) < 1:
                raise UserError(f"--{name}={getattr(self, name)} must be at least 1")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed={self.seed} must be in [0, 2147483647]")
        if not 0.0 <= self.max_bad_fraction <= 1.0:
            raise UserError(f"--max_bad_fraction={self.max_bad_fraction} must be in [0, 1]")
        if self.max_gap < self.min_gap:
            raise UserError(f"--max_gap={self.max_gap} must be at least --min_gap={self.min_gap}")
        sources.parse_frames(self.frames)
        if self.frame_pattern:
            sources.compile_frame_pattern(self.frame_pattern)
        _ = self.geometry, self.cropping
