"""Finds landmarks in images or videos and writes them as tables, pictures and overlay videos.

    python -m tf_landmarks.predict --model=runs/mine/export --input=new_images --output=found

One row per image or frame of a video, always: one that cannot be read gets a row with the reason.
"""

from absl import flags, logging

from tf_landmarks import cli, results

_MODEL = flags.DEFINE_string("model", None, "an export folder, or a run folder", required=True)
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "an image, a video, a folder of images or of videos, a pattern such as 'walks/*.png', or a .txt that "
    "lists paths",
    required=True,
)
_FRAMES = flags.DEFINE_string(
    "frames", "", "of each video or stack, the frames to take, start:stop:step; all if empty"
)
_CROP = cli.define_crop_flags()
_OUTPUT = flags.DEFINE_string("output", None, "where to write", required=True)
_FORMATS = flags.DEFINE_list(
    "format",
    ["csv"],
    "any of csv, json, coco, dlc and dlc_h5 (DeepLabCut's tables), slp and sleap_h5 (SLEAP's project, and its "
    "analysis of videos), tidy and parquet (a row for each landmark), traces (landmarks over a video's frames), overlay",
)
_SMOOTH = flags.DEFINE_string(
    "smooth",
    "",
    "a filter of landmarks over the frames of a video: median:5, the median of five frames, takes out single jumps; "
    "savgol:9, a parabola through nine (Savitzky and Golay), jitter. Tables say that it was used",
)
_NUMBERS = flags.DEFINE_bool(
    "overlay_numbers", False, "overlays have landmarks' names beside them, or their numbers"
)
_MIN_CONFIDENCE = flags.DEFINE_float(
    "overlay_min_confidence", 0.0, "overlays leave out landmarks of less confidence, 0 to 1"
)


def main(_) -> None:
    """Parses flags, predicts, says where."""
    with cli.plain_errors():
        from tf_landmarks.inference import batch, destination, smoothing, writers
        from tf_landmarks.inference.exported import ExportedModel

        writers.check_formats(_FORMATS.value)
        smooth = smoothing.Filter.parse(_SMOOTH.value)
        look = destination.OverlayLook(_NUMBERS.value, _MIN_CONFIDENCE.value)
        writers.check_look(look, _FORMATS.value)
        results.ResultFolder(_OUTPUT.value, writers.files(_FORMATS.value))
        model = ExportedModel(_MODEL.value)
        model.check_finds_landmarks()
        found, failed = batch.predict_folder(
            model,
            _INPUT.value,
            _OUTPUT.value,
            _FORMATS.value,
            _FRAMES.value,
            look,
            _CROP(model),
            smooth,
        )
        logging.info("found landmarks in %d images, %d could not be read", found, failed)
        written = ", ".join(name.removesuffix("/*") for name in writers.files(_FORMATS.value))
        logging.info("wrote %s in %s", written, _OUTPUT.value)


if __name__ == "__main__":
    cli.run(main)
