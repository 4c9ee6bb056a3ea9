"""Tables of text as spreadsheets write them: cells with their lines, and numbers.

Separators are comma, semicolon, tab or `|`; letters are UTF-8, UTF-16 or Windows-1252; numbers may have a
decimal comma where commas do not separate. What could be read in two ways is refused.
"""

import csv
import dataclasses
import io
import math
import re
from pathlib import Path

from absl import logging

from tf_landmarks.data.annotations.base import shown
from tf_landmarks.errors import UserError

_SEPARATORS = ",;\t|"
# What Excel, pandas, R and people write for a value that is not there.
_MISSING = {"", "-", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"}
_NUMBER = {
    mark: re.compile(rf"[+-]?([0-9]+[{mark}]?[0-9]*|[{mark}][0-9]+)([eE][+-]?[0-9]+)?")
    for mark in ".,"
}
# How files begin that are no table or JSON, whatever their name says; what they are, and the remedy.
_OTHERS = {
    b"PK\x03\x04": "a spreadsheet (.xlsx, .ods) or a ZIP archive; save the table as `CSV UTF-8`",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls); save the table as `CSV UTF-8`",
    b"\x89HDF": "HDF5; give it the ending .h5",
    b"\x1f\x8b": "compressed; unpack it with gunzip",
    b"{\\rtf": "a document (RTF); save it as plain text",
    b"version https://git-lfs": "only a pointer to the file; fetch it with git lfs pull",
    b"<!doctype": "a web page; was a login asked for? Download the file anew",
    b"<html": "a web page; was a login asked for? Download the file anew",
}
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: the line where it stands, and its cells without blanks around them."""

    line: int
    cells: list[str]


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of a table, at least one; blank ones are left out, and so are blank cells at their ends.

    Attributes:
        path: The file.
        separator: What separates its cells.
        rows: With the header.
    """

    path: Path
    separator: str
    rows: list[Row]

    def place(self, row: Row) -> str:
        """Where a row stands, for messages."""
        return f"{self.path}:{row.line}"


def read_table(path: Path) -> Table:
    """Reads a table.

    Raises:
        UserError: If it is no text, empty, or a quotation mark is not closed.
    """
    text = read_text(path)
    first = text.lstrip("\r\n").splitlines()[:1]
    stated = re.fullmatch(r'"?sep=(.)"?[,;\t]*', first[0].strip(" "), re.I) if first else None
    separator = stated.group(1) if stated else _find_separator(first[0] if first else "")
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    rows = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                rows.append(Row(reader.line_num, cells))
    except csv.Error as error:
        raise UserError(
            f"{path}:{reader.line_num}: this is no row of a table ({error}); is a quotation mark "
            "not closed? Mend the line, or save the table anew."
        ) from error
    rows = rows[1:] if stated else rows
    if not rows:
        raise UserError(f"{path} is empty; its first line must name the columns.")
    return Table(path, separator, _without_blank_ends(path, rows))


def read_text(path: Path) -> str:
    """Reads a file of text in the encodings that programs write.

    Raises:
        UserError: If it is no text, or in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    for start, what in _OTHERS.items():
        if data[: len(start)].lower() == start.lower():
            raise UserError(f"{path} is {what}.")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:2000]:
        # UTF-16 without its mark: every other byte of what is mostly ASCII is zero.
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise UserError(
                f"{path} is not whole {encoding.upper()} ({error.reason}); save it as UTF-8."
            ) from error
        text = _decode_windows(path, data, error)
    if "\0" in text:
        raise UserError(f"{path} holds zero bytes, so it is no text; save it as UTF-8.")
    return text.lstrip("\ufeff")


def read_number(table: Table, row: Row, column: int, what: str, decimal: str) -> float:
    """Reads a number of pixels, NaN where it is missing.

    Args:
        table: The table, for messages.
        row: The row.
        column: Its cell.
        what: The value's name, for messages: `snout x`.
        decimal: The table's decimal mark.
    """
    cell = row.cells[column]
    value = math.inf
    if _NUMBER[decimal].fullmatch(cell):
        value = float(cell.replace(",", "."))
    elif cell.casefold() in _MISSING:
        return math.nan
    if math.isinf(value):
        raise UserError(
            f"{table.place(row)}: {what} is {shown(cell)!r}, not a number of pixels "
            f"(like 12{decimal}5, without marks between thousands); leave it blank if missing."
        )
    return value


def decimal_mark(table: Table, rows: list[Row]) -> str:
    """Returns the decimal mark of a table's numbers: a comma only where commas do not separate.

    Raises:
        UserError: If both are used, naming a line of each.
    """
    if table.separator == ",":
        return "."
    seen: dict[str, tuple[Row, str]] = {}
    for row in rows:
        for cell in row.cells[1:]:
            if "," in cell and _NUMBER[","].fullmatch(cell):
                seen.setdefault(",", (row, cell))
            elif "." in cell and _NUMBER["."].fullmatch(cell):
                seen.setdefault(".", (row, cell))
    if len(seen) > 1:
        (one, with_comma), (other, with_point) = seen[","], seen["."]
        raise UserError(
            f"{table.place(one)}: {with_comma} has a decimal comma, {with_point} at line "
            f"{other.line} a decimal point; write all numbers in one way."
        )
    return next(iter(seen), ".")


def _find_separator(header: str) -> str:
    """The separator that divides a header into the most cells; a comma where none does."""
    unquoted = re.sub('"[^"]*"', "", header)
    return max(_SEPARATORS, key=unquoted.count)


def _decode_windows(path: Path, data: bytes, error: UnicodeDecodeError) -> str:
    line = data.count(b"\n", 0, error.start) + 1
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as other:
        raise UserError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is neither UTF-8 nor Windows-1252; save it "
            "as UTF-8."
        ) from other
    logging.warning(
        "%s:%d: byte 0x%02x is not UTF-8; the file is read as Windows-1252",
        path, line, data[error.start],
    )  # fmt: skip
    return text


def _without_blank_ends(path: Path, rows: list[Row]) -> list[Row]:
    """Cuts the blank columns off at the right; a cell there that is not blank has no column."""
    header = rows[0].cells
    width = max(column for column, cell in enumerate(header, 1) if cell)
    for row in rows:
        for column, cell in enumerate(row.cells[width:], width + 1):
            if not cell:
                continue
            if column <= len(header):
                raise UserError(
                    f"{path}:{row.line}: column {column} has no name in the header, but the value "
                    f"{shown(cell)!r} here; name or remove it."
                )
            raise UserError(
                f"{path}:{row.line}: {len(row.cells)} cells, but the header has {width}; is a "
                "separator within a name or a number? Put quotation marks around it."
            )
    return [Row(row.line, row.cells[:width]) for row in rows]
