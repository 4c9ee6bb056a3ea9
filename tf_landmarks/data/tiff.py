"""What a TIFF file says of its pages; nothing is decoded."""

import re
import struct
from typing import IO, NamedTuple

_MAGIC = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
_SUBFILE, _BITS, _PHOTOMETRIC, _DESCRIPTION, _CHANNELS, _KIND = 254, 258, 262, 270, 277, 339
_WIDTHS = {1: 1, 3: 2, 4: 4, 16: 8}  # bytes of the types that hold whole numbers
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # kinds of numbers


class Page(NamedTuple):
    """A page as its directory describes it.

    Attributes:
        number: Its place in the file.
        bits: Of a value.
        channels: Values of a pixel.
        kind: `UNSIGNED`, `SIGNED` or `FLOAT`.
        photometric: What values mean; 0 is grey from white to black, 1 from black to white, 2 RGB.
        is_picture: Neither a thumbnail of another page nor its mask.
    """

    number: int
    bits: int
    channels: int
    kind: int
    photometric: int
    is_picture: bool


def read_pages(file: IO[bytes]) -> tuple[list[Page], int]:
    """Follows the chain of directories.

    Args:
        file: An open file, at any position.

    Returns:
        The pages as far as they are there, none for what is no TIFF; and how many the file states.
        More are stated where it is cut short, and by ImageJ, which describes stacks above 4 GB by their first page alone.
    """
    file.seek(0)
    head = file.read(16)
    order = _MAGIC.get(head[:4])
    if order is None:
        return [], 0
    is_big = b"+" in head[:4]
    pages, stated, seen = [], 0, set()
    try:
        (offset,) = struct.unpack_from(order + ("Q" if is_big else "I"), head, 8 if is_big else 4)
        while offset and offset not in seen:
            seen.add(offset)
            stated += 1
            tags, description, offset = _directory(file, offset, order, is_big)
            pages.append(_page(len(pages), tags))
            if len(pages) == 1:
                by_imagej = re.search(rb"^images=(\d{1,9})", description, re.MULTILINE)
        if len(pages) == 1 and by_imagej:
            stated = int(by_imagej[1])
    except struct.error:  # the file ends before its directory does
        pass
    return pages, stated


def _page(number: int, tags: dict[int, int]) -> Page:
    return Page(
        number,
        tags.get(_BITS, 1),
        tags.get(_CHANNELS, 1),
        tags.get(_KIND, UNSIGNED),
        tags.get(_PHOTOMETRIC, 1),
        not tags.get(_SUBFILE, 0) & 0b101,
    )


def _directory(
    file: IO[bytes], offset: int, order: str, is_big: bool
) -> tuple[dict[int, int], bytes, int]:
    """Reads one directory: the first number of each tag, its description, where the next one is."""
    count_format, entry_format, inline = ("Q", "HHQ8s", 8) if is_big else ("H", "HHI4s", 4)
    file.seek(offset)
    (count,) = struct.unpack(order + count_format, file.read(struct.calcsize(order + count_format)))
    length = struct.calcsize(order + entry_format)
    data = file.read(min(count, 4096) * length + inline)
    tags, description = {}, b""
    for place in range(count):
        tag, kind, number, value = struct.unpack_from(order + entry_format, data, place * length)
        if tag == _DESCRIPTION and number > inline:
            file.seek(int.from_bytes(value, "little" if order == "<" else "big"))
            description = file.read(min(number, 4096))
        elif tag in (_SUBFILE, _BITS, _PHOTOMETRIC, _CHANNELS, _KIND) and kind in _WIDTHS:
            width = _WIDTHS[kind]
            if width * number > inline:
                file.seek(int.from_bytes(value, "little" if order == "<" else "big"))
                value = file.read(width)
            tags[tag] = int.from_bytes(value[:width], "little" if order == "<" else "big")
    (following,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, count * length)
    return tags, description, following
