"""Measures how fast things are on this machine, as ratios that hold in one run.

    python tools/benchmark.py --output=runs/benchmark

Sections (--sections): the convolution peak and training (by method, precision and size), warps beside
other libraries', input pipelines, an export's latency and throughput, and named landmarks: a step of tf_landmarks.fit beside one
by the labels alone, and predicting a video beside decoding it. What is compared is measured in
turns, several rounds of each, and the ratio is the median over rounds, since other work on the machine
comes and goes. Writes benchmark.json, prints a table.
"""

import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable

import cv2
import numpy as np
from absl import flags, logging

from tf_landmarks import cli, methods
from tf_landmarks.augment import augmentation, tps
from tf_landmarks.data import samplers, unreadable
from tf_landmarks.errors import UserError
from tf_landmarks.training import input_pipeline

_SECTIONS = flags.DEFINE_list(
    "sections", ["training", "warps", "input", "export", "named"], "what to measure"
)
_METHODS = flags.DEFINE_list("methods", [], "which methods train; all if not given")
_SIZES = flags.DEFINE_list("sizes", ["32", "128"], "sides of the networks' input, pixels")
_BATCH = flags.DEFINE_integer("batch_size", 16, "images per training step", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "how often each thing is measured", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 1.0, "how long each measurement takes, at least")
_OUTPUT = flags.DEFINE_string("output", "runs/benchmark", "where to write benchmark.json")

SIDE = 128  # of warps, pipelines and the peak


def main(_) -> None:
    """Measures, prints, writes."""
    with cli.plain_errors():
        sections = {
            "training": measure_training,
            "warps": measure_warps,
            "input": measure_input,
            "export": measure_export,
            "named": measure_named,
        }
        unknown = set(_SECTIONS.value) - set(sections)
        if unknown:
            raise UserError(f"--sections={','.join(unknown)}: they are {', '.join(sections)}")
        import tensorflow as tf

        found = {
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "gpus": [gpu.name for gpu in tf.config.list_physical_devices("GPU")],
            "batch_size": _BATCH.value,
        }
        for name in _SECTIONS.value:
            found[name] = sections[name](found)
            for key, value in found[name].items():
                logging.info("%-9s %-46s %s", name, key, value)
        # Of the process, after all of it: the largest part is training at the largest size.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found["peak_memory_mib"] = round(peak)
        logging.info("peak memory %.0f MiB", peak)
        os.makedirs(_OUTPUT.value, exist_ok=True)
        path = os.path.join(_OUTPUT.value, "benchmark.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
        logging.info("wrote %s", path)


def compare(works: dict[str, Callable[[], object]]) -> dict[str, np.ndarray]:
    """Calls per second of each work, `[rounds]`, measured in turns."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()  # builds graphs
    for _ in range(_ROUNDS.value):
        for name, work in works.items():
            calls, began = 0, time.perf_counter()
            while (spent := time.perf_counter() - began) < _SECONDS.value:
                work()
                calls += 1
            rates[name].append(calls / spent)
    return {name: np.array(values) for name, values in rates.items()}


def ratio(rates: dict[str, np.ndarray], one: str, other: str) -> float:
    """How many times faster one is than the other: the median over rounds."""
    return round(float(np.median(rates[one] / rates[other])), 3)


def measure_training(_) -> dict:
    """Training steps on given batches, beside the peak of a 3x3, 64-channel convolution."""
    import tensorflow as tf

    works, operations = {"peak": _convolution(tf)}, {"peak": _CONVOLUTION_GFLOP}
    for name in _METHODS.value or methods.METHODS:
        for size in map(int, _SIZES.value):
            for precision in ("float32", "bfloat16"):
                key = f"{name} {size} px {precision}"
                works[key], operations[key] = _training(name, size, precision)
    rates = compare(works)
    found = {"peak, GFLOP/s": _median(rates["peak"] * operations["peak"])}
    for key in list(works)[1:]:
        found[f"{key}: images/s"] = _median(rates[key] * _BATCH.value)
        share = rates[key] * operations[key] / (rates["peak"] * operations["peak"])
        found[f"{key}: share of the peak"] = round(float(np.median(share)), 3)
        if key.endswith("bfloat16"):
            plain = key.replace("bfloat16", "float32")
            found[f"{key}: times float32"] = ratio(rates, key, plain)
    return found


_CONVOLUTION_GFLOP = 2 * 9 * 64 * 64 * SIDE * SIDE * 8 / 1e9


def _convolution(tf) -> Callable:
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(8, SIDE, SIDE, 64)), tf.float32)
    kernel = tf.constant(random.normal(size=(3, 3, 64, 64)), tf.float32)
    run = tf.function(lambda: tf.nn.conv2d(images, kernel, 1, "SAME"), autograph=False)
    return lambda: run().numpy().shape


def _training(name: str, size: int, precision: str) -> tuple[Callable, float]:
    """A training step of a method's defaults, and its billions of operations."""
    import tensorflow as tf

    from tf_landmarks.data.geometry import Geometry
    from tf_landmarks.training import strategy

    strategy.set_precision(precision)
    shape = methods.ModelSpec(size, 10)
    model = methods.MODELS[name](shape, methods.METHODS[name].options_class())
    model.build_variables()
    (stage, *_) = model.stages
    model.start_stage(stage, 1000)
    frames = np.random.default_rng(0).random(
        (_BATCH.value, stage.augmentation.sampler.length, size, size, 3), np.float32
    )
    batch = stage.augmentation(tf.constant(frames), tf.constant([0, 0]), Geometry(size))
    step = tf.function(model.train_step, autograph=False)
    operations = _count_operations(step.get_concrete_function(batch).graph)
    strategy.set_precision("float32")
    return lambda: float(step(batch)["loss"]), operations


def _count_operations(graph) -> float:
    """Billions of floating-point operations of a graph's convolutions."""
    import tensorflow as tf

    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(graph, options=options)
    return counted.total_float_ops / 1e9


def measure_warps(_) -> dict:
    """Warping 128-px images of 3 channels in batches of 32, border zeros, float32.

    "own" makes its grid from drawn parameters; "sampling" and cv2.remap are given the grid. The control
    points of all splines are the same 10 x 10; sparse_image_warp solves for them each time.
    """
    import tensorflow as tf

    from tf_landmarks import coordinates
    from tf_landmarks.augment import sampling, warped_pairs

    count = 32
    images = tf.constant(np.random.default_rng(0).random((count, SIDE, SIDE, 3), np.float32))
    control = tps.control_grid(warped_pairs.CONTROL_SIDE)
    strength = tps.WarpStrength(5.0, 0.1, 0.1, 0.001, 0.01)
    parameters = tps.draw_coefficients(strength, tf.constant([0, 0]), batch_shape=(count,))
    warp = tps.Warp(control, parameters)
    points = tf.cast(tps.warp_grid(warp, (SIDE, SIDE)), tf.float32)
    targets = tf.cast(tps.warp_points(warp, control), tf.float32)
    own = tf.function(
        lambda values: tps.warp_images(tps.Warp(control, values), images),
        jit_compile=True,
        autograph=False,
    )
    sample = tf.function(
        lambda where: sampling.sample(images, where), jit_compile=True, autograph=False
    )
    pixels = coordinates.pixels_from_corner(points, (SIDE, SIDE)).numpy()
    plain = images.numpy()

    def remap():
        for image, where in zip(plain, pixels, strict=True):
            cv2.remap(
                image, where[..., 1], where[..., 0], cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
            )  # fmt: skip

    works = {
        "own": lambda: own(parameters).numpy().shape,
        "sampling": lambda: sample(points).numpy().shape,
        "cv2.remap": remap,
    }
    works |= _addons_warps(images, points, control, targets)
    rates = compare(works)
    found = {f"{name}: images/s": _median(rate * count) for name, rate in rates.items()}
    found["threads of cv2"] = cv2.getNumThreads()
    if "tfa sparse_image_warp" in rates:
        found["own / sparse_image_warp"] = ratio(rates, "own", "tfa sparse_image_warp")
        found["sampling / dense_image_warp"] = ratio(rates, "sampling", "tfa dense_image_warp")
    found["sampling / cv2.remap"] = ratio(rates, "sampling", "cv2.remap")
    return found


def _addons_warps(images, points, control, targets) -> dict:
    """The same warps by tensorflow-addons; none where it is not made for this TensorFlow."""
    import tensorflow as tf

    from tf_landmarks.augment import sampling

    try:
        import tensorflow_addons as tfa
    except ImportError:
        logging.info("warps     without tensorflow-addons, which does not support this TensorFlow")
        return {}
    start = tf.constant(np.tile(control, (len(images), 1, 1)), tf.float32)
    scale = (SIDE - 1) / 2.0
    sparse = tf.function(
        lambda: tfa.image.sparse_image_warp(images, (targets + 1) * scale, (start + 1) * scale)[0],
        autograph=False,
    )
    dense = tf.function(
        lambda: sampling.sample_by_dense_image_warp(images, points, "edge"), autograph=False
    )
    return {
        "tfa sparse_image_warp": lambda: sparse().numpy().shape,
        "tfa dense_image_warp": lambda: dense().numpy().shape,
    }


def measure_input(found: dict) -> dict:
    """160-px JPEG files to batches of 128 px, warped pairs included, nothing kept in memory."""
    from PIL import Image

    from tf_landmarks.data import sources
    from tf_landmarks.data.geometry import Geometry
    from tf_landmarks.methods.imm_options import ImmOptions

    geometry = Geometry(SIDE, crop_fraction=0.8)
    pairing = ImmOptions()
    with tempfile.TemporaryDirectory() as folder:
        faces = sources.SyntheticFaces(64, size=160)
        os.makedirs(os.path.join(folder, "images"))
        for index, name in enumerate(faces.names):
            image = Image.fromarray(faces.read(index))
            image.save(os.path.join(folder, "images", f"{name}.jpg"), quality=90)
        _write_records(folder)
        works = {}
        kinds = {"JPEG files": os.path.join(folder, "images")}
        kinds["TFRecord"] = f"tfrecord:{folder}/shard-*.tfrecord"
        for kind, data in kinds.items():
            source = sources.open_source(data)
            bad = unreadable.BadFiles(len(source), 0.0)
            frames = input_pipeline.ImageSet(source, np.arange(len(source)), geometry, bad, 0.0)
            for what, makes in (("decoded", _Decoded()), ("pairs", _pairing_of(pairing))):
                batches = iter(frames.batches(makes, _BATCH.value, 0, 0))
                works[f"{kind}, {what}"] = lambda b=batches: next(b)
        rates = compare(works)
    result = {f"{name}: images/s": _median(r * _BATCH.value) for name, r in rates.items()}
    trainers = [
        value
        for key, value in found.get("training", {}).items()
        if f" {SIDE} px " in key and key.endswith("images/s")
    ]
    if trainers:
        for name in list(result):
            result[name.replace("images/s", "times the fastest 128-px trainer")] = round(
                result[name] / max(trainers), 2
            )
    return result


def _pairing_of(options):
    from tf_landmarks.augment import warped_pairs

    return warped_pairs.WarpedPair(options.target_warp, options.source_warp)


class _Decoded(augmentation.Augmentation):
    """Images as they are, to measure reading by itself."""

    sampler = samplers.SingleImages()

    def draw(self, seed, batch_size):
        return {}

    def apply(self, images, draws, geometry):
        return {"images": geometry.centre(images[:, 0])}


def _write_records(folder: str) -> None:
    from tf_landmarks.data import tfrecords

    images = os.path.join(folder, "images")
    writers = [
        tfrecords.ShardWriter(os.path.join(folder, f"shard-{number}.tfrecord"))
        for number in range(4)
    ]
    for position, name in enumerate(sorted(os.listdir(images))):
        with open(os.path.join(images, name), "rb") as file:
            writers[position % 4].write(name, file.read())
    for writer in writers:
        writer.close()


def measure_export(_) -> dict:
    """An export of IMM's default networks at 128 px, float32: latency, throughput, overhead."""
    import tensorflow as tf

    from tf_landmarks.data.geometry import Geometry
    from tf_landmarks.serving.signatures import ServingModule

    shape = methods.ModelSpec(SIDE, 10)
    model = methods.MODELS["imm"](shape, methods.METHODS["imm"].options_class())
    model.build_variables(for_training=False)
    images = np.random.default_rng(0).integers(0, 256, (32, SIDE, SIDE, 3), np.uint8)
    bare = tf.function(lambda values: model.represent(values)[0], autograph=False)
    inputs = tf.constant(images / np.float32(255))
    with tempfile.TemporaryDirectory() as folder:
        ServingModule(model, Geometry(SIDE)).save(folder, ("predict_images",))
        loaded = tf.saved_model.load(folder)
        predict = loaded.signatures["predict_images"]
        batch, single = tf.constant(images), tf.constant(images[:1])
        rates = compare(
            {
                "batch 32": lambda: predict(images=batch)["landmarks"].numpy().shape,
                "bare function, batch 32": lambda: bare(inputs).numpy().shape,
                "batch 1": lambda: predict(images=single)["landmarks"].numpy().shape,
            }
        )
    return {
        "batch 1: ms": round(1000 / _median(rates["batch 1"]), 2),
        "batch 32: images/s": _median(rates["batch 32"] * 32),
        "bare function, batch 32: images/s": _median(rates["bare function, batch 32"] * 32),
        "batch 32 / bare function": ratio(rates, "batch 32", "bare function, batch 32"),
    }


def measure_named(_) -> dict:
    """A step of tf_landmarks.fit, and its network on a video of 128 px; see serving/named_speed.py."""
    from tf_landmarks.serving import named_speed

    with tempfile.TemporaryDirectory() as folder:
        rates = compare(named_speed.works(folder))
    return {
        "time of a step of fit / by the labels alone": ratio(rates, "labels alone", "fit"),
        "predict: frames/s": _median(rates["predict"] * named_speed.NUM_FRAMES),
        "time of predict / decoding": ratio(rates, "decoding", "predict"),
    }


def _median(values: np.ndarray) -> float:
    value = float(np.median(values))
    return round(value, 2 if value < 100 else 0)


if __name__ == "__main__":
    cli.run(main)
