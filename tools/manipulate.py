"""Moves landmarks and redraws: towards another picture's, or by a table; as a sheet and a video.

    python tools/manipulate.py --model=runs/mine --image=a.jpg --target_image=b.jpg --output=runs/moved
    python tools/manipulate.py --model=runs/mine --image=a.jpg --moves=moves.csv --output=runs/moved

Landmarks go from where they are found in `--image` to their targets, `x(a) = x + a (target - x)`: a = 0
is the picture redrawn, 1 the targets reached, beyond that the motion goes on. `--landmarks` moves some of
them alone. A table has the columns landmark, dx, dy (pixels of the picture) or landmark, x, y.
"""

from absl import flags, logging

from tf_landmarks import cli, results

_MODEL = flags.DEFINE_string(
    "model", None, "an export folder, or a run folder; of a method with a generator", required=True
)
_IMAGE = flags.DEFINE_list("image", None, "pictures that give the look, a row each", required=True)
_TARGET_IMAGE = flags.DEFINE_list(
    "target_image",
    [],
    "pictures whose landmarks are the targets: each --image goes to each of them, a row each",
)
_MOVES = flags.DEFINE_string("moves", "", "a CSV of targets")
_DATA = flags.DEFINE_string(
    "data",
    "",
    "idx files or a folder: --image and --target_image are then names in it, t10k_00012_2",
)
_LANDMARKS = flags.DEFINE_list("landmarks", [], "numbers of those to move; all if empty")
_ALPHAS = flags.DEFINE_list("alphas", ["0", "0.25", "0.5", "0.75", "1"], "values of a on the sheet")
_FRAMES = flags.DEFINE_integer("frames", 40, "frames of the video, there and back", lower_bound=2)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, redraws, writes."""
    with cli.plain_errors():
        from tf_landmarks.figures import manipulation
        from tf_landmarks.inference.exported import ExportedModel

        model = ExportedModel(_MODEL.value)
        model.say_if_cropped()
        model.check_finds_landmarks()
        chosen = manipulation.parse_numbers(_LANDMARKS.value, model.num_landmarks)
        alphas = manipulation.parse_alphas(_ALPHAS.value)
        read = manipulation.open_reader(_DATA.value)
        edits = [
            manipulation.make_edit(
                model, read(name), read(target) if target else None, _MOVES.value, chosen
            )
            for name in _IMAGE.value
            for target in _TARGET_IMAGE.value or [None]
        ]  # fmt: skip
        for line in manipulation.find_idle(model, edits):
            logging.warning("%s", line)
        output = results.ResultFolder(_OUTPUT.value, ["sheet.png", "motion.mp4"])
        output.write_picture("sheet.png", manipulation.draw_sheet(model, edits, alphas))
        manipulation.write_video(output.path_of("motion.mp4"), model, edits, alphas, _FRAMES.value)
        output.log()


if __name__ == "__main__":
    cli.run(main)
