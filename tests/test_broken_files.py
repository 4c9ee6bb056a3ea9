"""A folder in which every fifth file is broken trains, and names each of them; or stops, and does.

The acceptance case of reading images, with the command that users type.
"""

import io
import pathlib
import struct
import subprocess
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests import commands

TINY = [
    *("--imm_width=4", "--imm_renderer_width=8", "--imm_renderer_min_width=4", "--image_size=32"),
    *("--num_landmarks=4", "--batch_size=20", "--steps=5", "--precision=float32"),
]

pytestmark = [pytest.mark.core, pytest.mark.system]


def drawn(number: int) -> Image.Image:
    """A bright disc on a gradient with noise."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:40, :48]
    image = np.stack([3 * y, 2 * x, x + y], -1) + random.integers(0, 60, (40, 48, 3))
    disc = (y - random.integers(10, 30)) ** 2 + (x - random.integers(12, 36)) ** 2 < 60
    image[disc] = (250, 220, 30)
    return Image.fromarray(image.astype(np.uint8))


def encoded(kind: str, number: int = 0, **options) -> bytes:
    file = io.BytesIO()
    drawn(number).save(file, kind, **options)
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("image.jpg", encoded("JPEG"))
    return file.getvalue()


def one_pixel() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    return file.getvalue()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


def broken_files() -> dict[str, bytes]:
    """Nineteen ways to break a file; the twentieth is a link that leads nowhere."""
    jpeg, png, bmp = encoded("JPEG"), encoded("PNG"), encoded("BMP")
    noise = np.random.default_rng(0)
    return {
        "empty.jpg": b"",
        "zeros.png": bytes(len(png)),
        "cut_in_head.jpg": jpeg[:20],
        "cut_in_half.jpg": jpeg[: len(jpeg) // 2],
        "last_bytes_missing.jpg": jpeg[:-20],
        "progressive_cut.jpeg": encoded("JPEG", progressive=True)[: len(jpeg) * 2 // 3],
        "cut_in_half.png": png[: len(png) // 2],
        "end_missing.png": png[:-12],
        "wrong_magic.png": b"\x88" + png[1:],
        "wrong_pixel_data.png": flipped(png, len(png) // 2),
        "wrong_checksum.png": flipped(png, len(png) - 14),
        "text.jpg": b"See the other folder.\n",
        "page.png": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "noise_with_head.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + noise.bytes(3000),
        "cut_in_head.gif": encoded("GIF")[:11],
        "lying_size.bmp": bmp[:18] + struct.pack("<ii", 4800, 4000) + bmp[26:],
        "cut.webp": encoded("WEBP", quality=90)[:400],
        "one_pixel.png": one_pixel(),
        "archive.jpg": zipped(),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """A hundred images, of which twenty are broken."""
    root = tmp_path_factory.mktemp("images")
    for number in range(80):
        ending, kind = (("jpg", "JPEG"), ("PNG", "PNG"), ("webp", "WEBP"))[number % 3]
        drawn(number).save(root / f"good_{number:02d}.{ending}", kind)
    for name, data in broken_files().items():
        path = root / f"part{len(name) % 3}" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    (root / "nowhere.png").symlink_to(root / "gone.png")
    (root / "a_folder.jpg").mkdir()  # no file, so it does not count
    return root


def broken_names(folder: pathlib.Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.suffix and path.name != "a_folder.jpg")
    names = sorted(str(path.relative_to(folder)) for path in files)
    broken = [name for name in names if not name.startswith("good_")]
    assert len(names) == 100 and len(broken) == 20
    return broken


def train(*arguments) -> subprocess.CompletedProcess:
    return commands.finished(*commands.train(*TINY, *arguments))


def reasons(text: str, names: list[str], before: str) -> dict[str, str]:
    """The reason given for each name; each must be given exactly once."""
    lines = [line for line in text.splitlines() if line.startswith(before)]
    found = dict(line.removeprefix(before).split(": ", 1) for line in lines)
    assert sorted(found) == names and len(lines) == len(names)
    return found


def test_a_fifth_may_be_broken_if_the_user_says_so_and_each_is_named(folder, tmp_path):
    result = train(  # images are read one by one, as they are needed
        *(f"--data={folder}", f"--run_dir={tmp_path / 'run'}", "--cache_mib=0"),
        "--max_bad_fraction=0.2",
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout
    assert "step 5/5" in result.stdout and "exported to" in result.stdout
    # Five batches of 20 are one epoch: all were read.
    found = reasons(result.stdout.partition("step 5/5")[0], broken_names(folder), "skipped ")
    assert found["nowhere.png"] == "No such file or directory"
    assert found[next(name for name in found if "one_pixel" in name)] == "1x1 pixels are too few"
    assert all(len(reason) > 10 for reason in found.values())


@pytest.mark.parametrize("cache_mib", [1024, 0])
def test_by_default_it_stops_with_the_list(folder, tmp_path, cache_mib):
    run_dir = tmp_path / "run"
    result = train(f"--data={folder}", f"--run_dir={run_dir}", f"--cache_mib={cache_mib}")
    assert result.returncode == 2
    assert "Traceback" not in result.stdout + result.stderr
    assert "step 1/" not in result.stdout
    _, _, message = result.stderr.partition("error: ")
    assert "images cannot be read, more than --max_bad_fraction=0.01 allows:\n  " in message
    assert message.rstrip().endswith("repair or remove them, or raise --max_bad_fraction")
    names = broken_names(folder)
    if cache_mib:
        assert message.startswith("20 of 100 images")
        reasons(message, names, "  ")
        assert not run_dir.exists()
    else:  # those that were met so far
        lines = [line.strip() for line in message.splitlines() if line.startswith("  ")]
        assert len(lines) >= 2 and {line.split(": ")[0] for line in lines} <= set(names)
