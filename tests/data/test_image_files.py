"""Image files to pixels: each kind of file, each kind of damage, and the serving graph beside it."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_landmarks.data import image_files
from tf_landmarks.serving import decoding

pytestmark = pytest.mark.core

HEIGHT, WIDTH = 37, 52
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([4 * X, 6 * Y, 2 * (X + Y)], -1).astype(np.uint8)
GREY = (5 * Y + X).astype(np.uint8)
ALPHA = (4 * X + Y).astype(np.uint8)
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits: int, color_type: int, rows: np.ndarray, *extra: bytes) -> bytes:
    """A PNG by hand, for the kinds that Pillow does not write; `rows [H, bytes]`."""
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [chunk(b"IHDR", head), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def sixteen_bits(channels: np.ndarray) -> np.ndarray:
    """Rows of a PNG whose upper bytes are `channels` and whose lower bytes are noise."""
    noise = np.random.default_rng(1).integers(0, 256, channels.shape)
    return (channels.astype(np.uint16) * 256 + noise).astype(">u2").reshape(HEIGHT, -1)


def stored(values: np.ndarray) -> np.ndarray:
    """Rows of a PNG of 16 bits with these values."""
    return values.astype(">u2").reshape(HEIGHT, -1)


def indexed(colors: int) -> Image.Image:
    """An image of `colors` colours, in stripes."""
    image = Image.fromarray((X % colors).astype(np.uint8), "P")
    image.putpalette(PALETTE[:colors].tobytes())
    return image


def over_white(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., np.newaxis] / 255.0
    return colors * share + 255.0 * (1.0 - share)


def repeated(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., np.newaxis], 3, -1)


def palette_alpha() -> bytes:
    return bytes(range(0, 256, 16))


def make_cases() -> dict[str, tuple[bytes, np.ndarray, int]]:
    """Name: (bytes of a file, its RGB pixels, how far a lossy format may be from them)."""
    stripes = PALETTE[X % 16]
    grey, alpha = Image.fromarray(GREY), Image.fromarray(ALPHA)
    bits = (X // 3 + Y // 5) % 2 == 0
    four = GREY >> 4
    grey_key = int(GREY[5, 9])
    return {
        "jpeg": (encoded(RGB, "JPEG", quality=95, subsampling=0), RGB, 4),
        "jpeg_progressive": (encoded(RGB, "JPEG", quality=95, progressive=True), RGB, 12),
        "jpeg_grey": (encoded(GREY, "JPEG", quality=95), repeated(GREY), 12),
        "jpeg_cmyk": (encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95), RGB, 6),
        "png": (encoded(RGB, "PNG"), RGB, 0),
        "png_grey": (encoded(GREY, "PNG"), repeated(GREY), 0),
        "png_grey_alpha": (
            encoded(Image.merge("LA", [grey, alpha]), "PNG"),
            over_white(repeated(GREY), ALPHA),
            1,
        ),
        "png_rgba": (encoded(np.dstack([RGB, ALPHA]), "PNG"), over_white(RGB, ALPHA), 1),
        "png_1_bit": (encoded(Image.fromarray(bits), "PNG"), repeated(255 * bits), 0),
        "png_4_bits_grey": (
            png(4, 0, four[:, ::2] << 4 | four[:, 1::2]),
            repeated(four.astype(int) * 17),
            0,
        ),
        "png_16_colors": (encoded(indexed(16), "PNG"), stripes, 0),
        "png_2_colors": (encoded(indexed(2), "PNG"), PALETTE[X % 2], 0),
        "png_256_colors": (encoded(indexed(52), "PNG"), PALETTE[X % 52], 0),
        "png_color_missing": (
            encoded(indexed(16), "PNG", transparency=3),
            np.where((X % 16 == 3)[..., np.newaxis], 255, stripes),
            0,
        ),
        "png_colors_with_alpha": (
            encoded(indexed(16), "PNG", transparency=palette_alpha()),
            over_white(stripes, (X % 16) * 16),
            1,
        ),
        "png_grey_with_missing_value": (
            encoded(GREY, "PNG", transparency=grey_key),
            repeated(np.where(grey_key == GREY, 255, GREY)),
            0,
        ),
        "png_16_bits_grey": (png(16, 0, sixteen_bits(GREY)), repeated(GREY), 0),
        "png_12_of_16_bits": (png(16, 0, stored(16 * GREY.astype(int) + 7)), repeated(GREY), 0),
        "png_6_of_16_bits": (
            png(16, 0, stored(GREY >> 2)),
            repeated(np.rint((GREY >> 2) * (255 / (GREY >> 2).max()))),
            0,
        ),
        "png_12_of_16_bits_rgb": (
            png(16, 2, stored(16 * RGB.astype(int))),
            RGB,
            0,
        ),
        "png_16_bits_rgb": (png(16, 2, sixteen_bits(RGB)), RGB, 0),
        "png_16_bits_rgba": (
            png(16, 6, sixteen_bits(np.dstack([RGB, ALPHA]))),
            over_white(RGB, ALPHA),
            1,
        ),
        "gif": (encoded(indexed(16), "GIF"), stripes, 0),
        "gif_first_of_two": (
            encoded(indexed(16), "GIF", save_all=True, append_images=[Image.fromarray(RGB)]),
            stripes,
            0,
        ),
        "bmp": (encoded(RGB, "BMP"), RGB, 0),
        "bmp_grey": (encoded(GREY, "BMP"), repeated(GREY), 0),
        "bmp_16_colors": (encoded(indexed(16), "BMP"), stripes, 0),
        "bmp_rgba": (encoded(np.dstack([RGB, ALPHA]), "BMP"), RGB, 0),
        "webp": (encoded(RGB, "WEBP", lossless=True), RGB, 0),
        "webp_rgba": (
            encoded(np.dstack([RGB, ALPHA]), "WEBP", lossless=True, exact=True),
            over_white(RGB, ALPHA),
            1,
        ),
        "gif_color_missing": (
            encoded(indexed(16), "GIF", transparency=3),
            np.where((X % 16 == 3)[..., np.newaxis], 255, stripes),
            0,
        ),
    }


CASES = make_cases()


def in_graph(data: bytes) -> np.ndarray:
    return decoding.decode(tf.constant(data)).numpy()


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_file_gives_its_pixels(name):
    data, want, tolerance = CASES[name]
    got = image_files.decode_image(data)
    assert got.dtype == np.uint8 and got.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(got.astype(float), want, atol=tolerance)


@pytest.mark.parametrize(
    "name", [name for name in CASES if "webp" not in name and name != "gif_color_missing"]
)
def test_the_serving_graph_decodes_the_same_pixels(name):
    # Seen equal everywhere, on both stacks; other builds of libjpeg may round another way.
    tolerance = 2 if "jpeg" in name else 0
    data = CASES[name][0]
    want = image_files.decode_image(data).astype(int)
    np.testing.assert_allclose(in_graph(data).astype(int), want, atol=tolerance)


def test_every_color_under_every_alpha_is_rounded_alike_in_the_serving_graph():
    color, alpha = np.mgrid[:256, :256].astype(np.uint8)
    data = encoded(np.dstack([color, 255 - color, color // 2, alpha]), "PNG")
    difference = in_graph(data).astype(int) - image_files.decode_image(data)
    assert np.abs(difference).max() <= 1


def test_transparent_pixels_of_a_gif_are_black_in_the_serving_graph():
    # The one difference that is known and stays: TensorFlow's GIF decoder drops transparency.
    data, want, _ = CASES["gif_color_missing"]
    missing = X % 16 == 3
    got = in_graph(data)
    np.testing.assert_array_equal(got[missing], 0)
    np.testing.assert_array_equal(got[~missing], want[~missing])


@pytest.mark.parametrize(
    ("ink", "color"),
    [
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 0, 0, 0), (255, 255, 255)),
        # (255 - 51) (255 - 102) / 255 = 122.4 of red, and 0 of blue.
        ((51, 0, 255, 102), (122, 153, 0)),
    ],
)
def test_inks_of_a_cmyk_jpeg_become_their_colors(ink, color):
    data = encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)
    assert b"Adobe" in data[:100]  # which says that the inks are stored inverted
    for pixels in (image_files.decode_image(data), in_graph(data)):
        np.testing.assert_allclose(pixels[8, 8], color, atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_all_exif_orientations_give_the_upright_picture(kind, orientation):
    # How the camera's pixels lie, given the upright picture: the inverse of what viewers do.
    lying = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16] = (255, 0, 0)  # red top left, green top right, blue bottom left
    upright[:16, 32:] = (0, 255, 0)
    upright[16:, :16] = (0, 0, 255)
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    stored = Image.fromarray(np.ascontiguousarray(lying(upright)))
    got = image_files.decode_image(encoded(stored, kind, exif=exif, **options))
    assert got.shape == upright.shape
    for y, x in ((7, 7), (7, 40), (24, 7), (24, 40)):
        np.testing.assert_allclose(got[y, x].astype(int), upright[y, x], atol=20)


def cut(kind: str, share: float, **options) -> bytes:
    noise = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    data = encoded(noise, kind, **options)
    return data[: int(share * len(data))]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


PNG = CASES["png"][0]
BROKEN = {
    "empty": (b"", "the file is empty"),
    "zeros": (bytes(4000), "not an image"),
    "text": (b"no image here\n", "not an image"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "not an image"),
    "zip": (b"PK\x03\x04" + bytes(100), "not an image"),
    "jpeg_head_then_noise": (b"\xff\xd8\xff\xe0" + np.random.default_rng(3).bytes(4000), None),
    **{f"jpeg_cut_{s}": (cut("JPEG", s), "(?i)truncated") for s in (0.1, 0.3, 0.9, 0.999)},
    "jpeg_progressive_cut": (cut("JPEG", 0.6, progressive=True), "(?i)truncated"),
    **{f"png_cut_{s}": (cut("PNG", s), None) for s in (0.001, 0.3, 0.9, 0.999)},
    "png_without_end": (PNG[:-12], "(?i)truncated"),
    "png_wrong_checksum": (flipped(PNG, len(PNG) - 14), "checksum"),
    "png_wrong_pixel_data": (flipped(PNG, PNG.index(b"IDAT") + 40), "checksum"),
    "png_wrong_head": (flipped(PNG, 30), "not an image"),
    "gif_cut": (cut("GIF", 0.7), "(?i)truncated"),
    "gif_cut_in_its_head": (CASES["gif"][0][:11], "not an image"),
    "bmp_cut": (cut("BMP", 0.9), "(?i)truncated"),
    # Bytes 18 to 21 are the width.
    "bmp_wider_than_it_is": (
        CASES["bmp"][0][:18] + b"\x08\x02\0\0" + CASES["bmp"][0][22:],
        "trunc",
    ),
    "webp_cut": (cut("WEBP", 0.5), None),
    "1x1": (encoded(RGB[:1, :1], "PNG"), "^1x1 pixels are too few$"),
    "1x9": (encoded(RGB[:9, :1], "PNG"), "^1x9 pixels are too few$"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_is_refused_with_a_reason(name, tmp_path):
    data, reason = BROKEN[name]
    path = tmp_path / "damaged.jpg"
    path.write_bytes(data)
    with pytest.raises(image_files.UnreadableImageError, match=reason) as refused:
        image_files.read_image(str(path))
    assert 5 < len(str(refused.value)) < 120 and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in ("1x1", "1x9")])
def test_the_serving_graph_refuses_the_same_damage(name):
    with pytest.raises(tf.errors.OpError):
        in_graph(BROKEN[name][0])


def test_a_file_is_read_by_what_it_holds_and_not_by_its_ending(tmp_path):
    (tmp_path / "a.jpg").write_bytes(PNG)
    np.testing.assert_array_equal(image_files.read_image(str(tmp_path / "a.jpg")), RGB)


def test_a_missing_file_and_a_folder_are_refused_with_the_systems_words(tmp_path):
    with pytest.raises(image_files.UnreadableImageError, match=r"^No such file or directory$"):
        image_files.read_image(str(tmp_path / "none.png"))
    with pytest.raises(image_files.UnreadableImageError, match=r"^Is a directory$"):
        image_files.read_image(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused_with_the_systems_words(tmp_path):
    path = tmp_path / "private.png"
    path.write_bytes(PNG)
    path.chmod(0)
    with pytest.raises(image_files.UnreadableImageError, match=r"^Permission denied$"):
        image_files.read_image(str(path))


def tiff(values: np.ndarray, orientation: int = 1, photometric: int | None = None) -> bytes:
    """A TIFF by hand, for the kinds that Pillow does not write; `values [H, W]` or `[H, W, C]`."""
    height, width, channels = (*values.shape, 1)[:3]
    data = values.tobytes()
    photometric = (2 if channels in (3, 4) else 1) if photometric is None else photometric
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    entries = [
        *[(256, width), (257, height), (258, [8 * values.dtype.itemsize] * channels), (259, 1)],
        *[(262, photometric), (273, 8), (274, orientation), (277, channels), (278, height)],
        *[(279, len(data)), (339, [kind] * channels)],
    ]
    start = 8 + len(data)
    head, behind = b"II*\0" + struct.pack("<I", start), b""
    directory = struct.pack("<H", len(entries))
    for tag, value in entries:
        numbers = struct.pack(f"<{len(value)}H", *value) if isinstance(value, list) else b""
        if len(numbers) > 4:
            place = struct.pack("<I", start + 2 + 12 * len(entries) + 4 + len(behind))
            behind += numbers
        else:
            place = numbers.ljust(4, b"\0") if numbers else struct.pack("<I", value)
        count = len(value) if isinstance(value, list) else 1
        directory += struct.pack("<HHI", tag, 3 if numbers else 4, count) + place
    return head + data + directory + b"\0\0\0\0" + behind


RAMP = np.linspace(0.0, 1.0, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
WITH_HOLES = (4000 * RAMP).astype(np.float32)
WITH_HOLES[0, :3] = np.nan, -np.inf, 0
WITH_HOLES[-1, -2:] = np.inf, 4000


@pytest.mark.parametrize(
    ("values", "largest"),
    [
        ((65535 * RAMP).astype(np.uint16), 255),
        ((16383 * RAMP).astype(np.uint16), 255),
        ((4095 * RAMP).astype(np.uint16), 255),
        ((3000 * RAMP).astype(np.uint16), 187),
        ((1023 * RAMP).astype(np.uint16), 255),
        ((40 * RAMP).astype(np.uint16), 255),
        ((4000 * RAMP - 1000).astype(np.int16), 255),
        ((100 * RAMP - 50).astype(np.int8), 255),
        ((255 * RAMP).astype(np.int32), 255),
        ((100_000 * RAMP).astype(np.int32), 255),
        ((4e9 * RAMP).astype(np.uint32), 255),
        (RAMP.astype(np.float32), 255),
        ((0.5 * RAMP).astype(np.float32), 128),
        ((0.01 * RAMP).astype(np.float32), 255),
        ((255 * RAMP).astype(np.float32), 255),
        ((4080 * RAMP).astype(np.float32), 255),
        ((8 * RAMP - 4).astype(np.float32), 255),
        ((255 * RAMP).astype(np.float64), 255),
        (WITH_HOLES, 250),
        *[
            ((factor * np.dstack([RAMP, RAMP**2, 1 - RAMP])).astype(dtype), 255)
            for factor, dtype in ((65535, np.uint16), (4095, np.uint16), (1, np.float32))
        ],
    ],
    ids=lambda value: f"{value.dtype}_{value.ndim}" if isinstance(value, np.ndarray) else "",
)
def test_a_tiff_of_any_depth_fills_black_to_white(values, largest):
    got = image_files.decode_image(tiff(values)).astype(float)
    want = RAMP if values.ndim == 2 else np.dstack([RAMP, RAMP**2, 1 - RAMP])
    want = largest * want if values.ndim == 3 else repeated(largest * want)
    if values is WITH_HOLES:
        assert (got[-1, -2] == 255).all() and (got[0, :2] == 0).all()
        got[-1, -2] = want[-1, -2]
    # Whole numbers are cut where they are coarse.
    np.testing.assert_allclose(got, want, atol=7 if values.max() < 64 else 2)


def test_grey_that_counts_from_white_is_turned():
    values = (4095 * RAMP).astype(np.uint16)
    got = image_files.decode_image(tiff(values, photometric=0))
    np.testing.assert_array_equal(got, 255 - image_files.decode_image(tiff(values)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_tiff_is_turned_upright_once(dtype, channels):
    values = np.zeros((20, 30, channels), dtype)
    values[:5, :5] = 255
    got = image_files.decode_image(tiff(values[..., 0] if channels == 1 else values, 6))
    assert got.shape == (30, 20, 3)
    np.testing.assert_array_equal(np.argwhere(got[..., 0] > 200)[[0, -1]], [[0, 15], [4, 19]])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            np.dstack([RAMP] * 5).astype(np.uint16),
            r"^a TIFF of 5 x 16 bits a pixel.*save it with 1",
        ),
        (np.dstack([RAMP] * 2).astype(np.uint16), r"^a TIFF of 2 x 16 bits a pixel"),
        (RAMP.astype(np.float16), r"^a TIFF of 1 x 16 bits a pixel, float"),
        (np.full((9, 9), np.nan, np.float32), "^none of its values is a finite number$"),
    ],
)
def test_a_tiff_of_another_kind_is_refused_with_a_remedy(values, reason):
    with pytest.raises(image_files.UnreadableImageError, match=reason):
        image_files.decode_image(tiff(values))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(99), "^HEIC, which is not read; convert it to JPEG$"),
        (b"\0\0\0\x18ftypisom" + bytes(99), "^a video by its content"),
        (b"%PDF-1.4" + bytes(99), "^a PDF"),
    ],
)
def test_what_a_file_is_instead_is_said(data, reason):
    with pytest.raises(image_files.UnreadableImageError, match=reason):
        image_files.decode_image(data)


@pytest.mark.parametrize("ending", image_files.EXTENSIONS)
def test_every_ending_is_of_a_kind_that_is_read(ending, tmp_path):
    Image.init()
    kind = Image.registered_extensions()[ending]
    picture = Image.new(
        "1" if ending == ".pbm" else "F" if ending == ".pfm" else "RGB", (32, 32), 1
    )
    picture.save(tmp_path / f"a{ending}", kind)
    assert image_files.read_image(str(tmp_path / f"a{ending}")).shape == (32, 32, 3)
