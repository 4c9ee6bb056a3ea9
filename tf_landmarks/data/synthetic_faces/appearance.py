"""What a drawn face looks like and how it is posed, both drawn at random.

A `Look` holds what two frames of one video share (the person, clothes, background, light), a `Pose` what
moves between them. "left" and "right" are the image's.
"""

import dataclasses

import numpy as np

LANDMARKS: tuple[str, ...] = (
    "left_eye",
    "right_eye",
    "left_brow_outer",
    "left_brow_inner",
    "right_brow_inner",
    "right_brow_outer",
    "nose_tip",
    "mouth_left",
    "mouth_right",
    "mouth_top",
    "mouth_bottom",
    "left_jaw",
    "right_jaw",
    "chin",
)


NORMALIZER: tuple[str, str] = ("left_eye", "right_eye")


HAIR_STYLES: tuple[str, ...] = ("none", "short", "fringe", "long", "curly", "bun")


Colour = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Look:
    """What stays the same in all frames of one face. Colours are RGB in [0, 255].

    Lengths are factors of the average face unless said otherwise.
    """

    face_width: float = 1.0
    jaw_width: float = 1.0
    chin_length: float = 1.0
    eye_size: float = 1.0
    brow_thickness: float = 1.0
    nose_length: float = 1.0
    nose_width: float = 1.0
    mouth_width: float = 1.0
    lip_fullness: float = 1.0
    skin: Colour = (233, 186, 153)
    lips: Colour = (190, 85, 85)
    eyes: Colour = (80, 110, 140)
    hair: Colour = (80, 50, 35)
    hair_style: str = "short"  # one of HAIR_STYLES
    parting: float = 0.0  # of the hair, -1 (left) to 1 (right)
    shirt: Colour = (70, 100, 150)
    collar: bool = False
    hat: Colour | None = None
    glasses: Colour | None = None
    light: float = -0.5  # where light comes from, -1 (left) to 1 (right)
    brightness: float = 1.0  # of the whole picture
    tint: Colour = (1.0, 1.0, 1.0)  # factors of the colour channels
    scene: int = 0  # seed of the background and of the things that stand in the way


@dataclasses.dataclass(frozen=True)
class Pose:
    """What moves between two frames of one face."""

    x: float = 0.0  # shift of the middle of the face from the middle of the image, in image sides
    y: float = 0.0
    roll: float = 0.0  # degrees, clockwise in the image
    scale: float = 1.0
    yaw: float = 0.0  # degrees, positive turns the nose to the image's right
    pitch: float = 0.0  # degrees, positive turns the nose down
    mouth_open: float = 0.0  # 0 to 1
    smile: float = 0.0  # -1 to 1
    brow_raise: float = 0.0  # -1 to 1
    eye_open: float = 1.0  # 0.5 to 1


def random_look(rng: np.random.Generator) -> Look:
    """Draws a face, its clothes, surroundings and light."""
    skin = _random_skin(rng)
    style = HAIR_STYLES[rng.choice(len(HAIR_STYLES), p=(0.1, 0.24, 0.2, 0.24, 0.1, 0.12))]
    return Look(
        face_width=rng.uniform(0.93, 1.07),
        jaw_width=rng.uniform(0.88, 1.12),
        chin_length=rng.uniform(0.95, 1.06),
        eye_size=rng.uniform(0.92, 1.1),
        brow_thickness=rng.uniform(0.75, 1.35),
        nose_length=rng.uniform(0.9, 1.1),
        nose_width=rng.uniform(0.85, 1.2),
        mouth_width=rng.uniform(0.88, 1.12),
        lip_fullness=rng.uniform(0.8, 1.25),
        skin=skin,
        lips=mix(scaled(skin, 0.8), _LIPS[rng.integers(len(_LIPS))], rng.uniform(0.45, 0.85)),
        eyes=_IRISES[rng.integers(len(_IRISES))],
        hair=_jitter(rng, _HAIRS[rng.integers(len(_HAIRS))], 12),
        hair_style=style,
        parting=rng.uniform(-1, 1),
        shirt=any_colour(rng),
        collar=bool(rng.random() < 0.4),
        hat=any_colour(rng) if rng.random() < 0.12 else None,
        glasses=_jitter(rng, (60, 45, 40), 40) if rng.random() < 0.15 else None,
        light=rng.uniform(-1, 1),
        brightness=rng.uniform(0.88, 1.1),
        tint=tuple(rng.uniform(0.95, 1.05, 3)),
        scene=int(rng.integers(2**31)),
    )


def random_pose(rng: np.random.Generator) -> Pose:
    """Draws a pose that keeps all landmarks of any random look inside the image."""
    scale = rng.uniform(0.8, 1.15)
    room = 0.05 / scale  # a large face has less room to move
    return Pose(
        x=rng.uniform(-room, room),
        y=rng.uniform(-room, room),
        roll=rng.uniform(-25, 25),
        scale=scale,
        yaw=rng.uniform(-30, 30),
        pitch=rng.uniform(-12, 12),
        mouth_open=max(0.0, rng.uniform(-0.6, 1)),  # closed in three of eight
        smile=rng.uniform(-0.3, 1),
        brow_raise=rng.uniform(-0.6, 1),
        eye_open=rng.uniform(0.65, 1),
    )


# Eyes are brighter and hair and brows mostly darker than any of these skins. With hair and skin of
# free colours, small networks learn to follow colours instead of features (measured).
_SKINS = (
    (255, 226, 204),
    (243, 204, 172),
    (226, 176, 138),
    (196, 140, 98),
    (160, 106, 72),
    (126, 82, 56),
)


_LIPS = ((205, 70, 80), (180, 60, 70), (215, 110, 110), (160, 60, 90), (225, 80, 60))


_IRISES = ((60, 100, 160), (50, 130, 140), (70, 125, 70), (100, 65, 35), (60, 40, 30))


_HAIRS = (
    (35, 28, 28),
    (52, 36, 28),
    (62, 40, 28),
    (85, 50, 32),
    (110, 70, 40),
    (120, 58, 34),
    (150, 100, 56),
    (70, 40, 80),
)


def _random_skin(rng: np.random.Generator) -> Colour:
    place = rng.beta(1, 1.4) * (len(_SKINS) - 1)
    lower = int(place)
    return _jitter(rng, mix(_SKINS[lower], _SKINS[lower + 1], place - lower), 8)


def any_colour(rng: np.random.Generator) -> Colour:
    """Draws a random colour, a little muted: loud ones draw the eye, and landmarks, off the face."""
    colour = rng.uniform(10, 245, 3)
    return mix(colour, [colour.mean()] * 3, 0.4)


def _jitter(rng: np.random.Generator, colour: Colour, width: float) -> Colour:
    return tuple(np.clip(np.add(colour, rng.uniform(-width, width, 3)), 0, 255))


def mix(first: Colour, second: Colour, weight: float) -> Colour:
    """Mixes two colours: the first at weight 0, the second at 1."""
    return tuple((1 - weight) * a + weight * b for a, b in zip(first, second, strict=True))


def scaled(colour: Colour, factor: float) -> Colour:
    """Multiplies a colour by a factor, up to white."""
    return tuple(min(255.0, factor * value) for value in colour)
