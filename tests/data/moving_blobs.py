"""Pictures of a textured ground over which a bright animal with a shadow moves, and tables of where it is."""

import cv2
import numpy as np

SIZE = (180, 320)  # height, width
#: Half axes of the animal, and where its shadow lies from it, pixels.
LONG, SHORT, SHADOW = 12, 6, (7, 9)


def ground(seed: int = 0) -> np.ndarray:
    """`[H, W]` float32: blotches and lines, some brighter than the animal."""
    coarse = np.random.default_rng(seed).normal(90, 25, (12, 20)).astype(np.float32)
    picture = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    picture[::30] -= 40
    picture[10:20, 20:80] = 250
    return picture


def picture(centre, angle: float, seed: int, ground_of: int = 0) -> np.ndarray:
    """One picture, `[H, W, 3]` uint8, with noise of its own; no animal where `centre` is None."""
    image = ground(ground_of)
    if centre is not None:
        x, y = (round(value) for value in centre)
        shadow = np.zeros(SIZE, np.float32)
        at = (x + SHADOW[0], y + SHADOW[1])
        cv2.ellipse(shadow, at, (LONG, SHORT), angle, 0, 360, 1.0, -1)
        image = image * (1 - 0.35 * cv2.GaussianBlur(shadow, (0, 0), 3))
        cv2.ellipse(image, (x, y), (LONG, SHORT), angle, 0, 360, 215.0, -1)
    image = image + np.random.default_rng(seed).normal(0, 3, SIZE)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=-1)


def walk(count: int, seed: int = 0) -> np.ndarray:
    """`[count, 2]` whole (x, y): a round through the picture, nowhere twice."""
    turn = 2 * np.pi * (np.arange(count) / count + np.random.default_rng(seed).random())
    middle = np.array([SIZE[1] / 2, SIZE[0] / 2])
    return np.rint(middle + np.stack([110 * np.cos(turn), 55 * np.sin(turn)], axis=-1))


def write_video(path, centres) -> None:
    """Writes a video, a frame for each centre, and beside it the table of the animal's centre and right end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, SIZE[::-1])
    for number, centre in enumerate(centres):
        writer.write(picture(centre, 0.0, number))
    writer.release()
    lines = [f"{i},{c[0]},{c[1]},{c[0] + LONG},{c[1]}" for i, c in enumerate(centres)]
    path.with_suffix(".csv").write_text("\n".join(["frame,middle_x,middle_y,end_x,end_y", *lines]))


def write_images(folder, centres) -> list[str]:
    """Writes `a000.png` and so on, and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / f"a{number:03d}.png") for number in range(len(centres))]
    for number, (path, centre) in enumerate(zip(paths, centres, strict=True)):
        cv2.imwrite(path, picture(centre, 30.0 * number, number))
    return paths
