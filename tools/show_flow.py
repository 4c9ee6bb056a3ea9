"""Where places of one picture are in others, by a model that matches or describes places; needs no annotations.

    python tools/show_flow.py --model=runs/mine --image=a.jpg --target_image=b.jpg,c.jpg --output=runs/mine/flow
    python tools/show_flow.py --model=runs/mine --image=a.jpg --target_image=b.jpg --points=70.5,36:65,96 --output=runs/mine/flow

Writes flow.png, a row for each target: the picture and the target, with lines from numbered places to their matches; the target
moved onto the picture, which has the look of the one in the pose of the other where matches are right; and of the first three
places how well each place of the target matches, from the least (black) to the best (white), with a marker on the match.
Places are --points, or 9 of them all over the picture.
"""

from absl import flags

from tf_landmarks import cli, results

_MODEL = flags.DEFINE_string("model", None, "an export folder, or a run folder", required=True)
_IMAGE = flags.DEFINE_string(
    "image", None, "the picture whose places are looked for", required=True
)
_TARGET_IMAGE = flags.DEFINE_list(
    "target_image", None, "pictures to find them in, a row each", required=True
)
_POINTS = flags.DEFINE_string(
    "points", "", "x,y:x,y in pixels of --image, (0, 0) the centre of the top-left one"
)
_DATA = flags.DEFINE_string(
    "data", "", "idx files or a folder: --image and --target_image are then names in it"
)
_OUTPUT = flags.DEFINE_string("output", None, "folder to write to", required=True)


def main(_) -> None:
    """Parses flags, matches, draws."""
    with cli.plain_errors():
        from tf_landmarks.evaluation import references
        from tf_landmarks.evaluation.carriers import Carrier
        from tf_landmarks.figures import carried, manipulation
        from tf_landmarks.inference.exported import ExportedModel

        output = results.ResultFolder(_OUTPUT.value, ["flow.png"])
        model = ExportedModel(_MODEL.value)
        model.say_if_cropped()
        carrier = Carrier(model)
        read = manipulation.open_reader(_DATA.value)
        image, *targets = (read(name) for name in (_IMAGE.value, *_TARGET_IMAGE.value))
        points = carried.spread_points()
        if _POINTS.value:
            pixels = references.parse_points(_POINTS.value)
            references.check_inside(pixels, image, _POINTS.value, _IMAGE.value)
            points = model.from_input_pixels(model.to_input_pixels(image.shape[:2], pixels))
        output.write_picture("flow.png", carried.sheet(carrier, image, points, targets))
        output.log()


if __name__ == "__main__":
    cli.run(main)
