"""The signatures in a MetaGraphDef, read with a few lines of protobuf's wire format."""

from collections.abc import Iterator

# DataType in tensorflow/core/framework/types.proto.
DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 7: "string", 9: "int64", 10: "bool"}

Tensors = dict[str, tuple[str, str]]


def signatures(meta_graph: bytes) -> dict[str, tuple[Tensors, Tensors]]:
    """Reads the signatures in a MetaGraphDef, tensorflow/core/protobuf/meta_graph.proto.

    MetaGraphDef.signature_def = 5; SignatureDef.inputs = 1, outputs = 2; TensorInfo.name = 1,
    dtype = 2.
    """

    def tensors(signature: memoryview, number: int) -> Tensors:
        infos = {key: dict(_fields(info)) for key, info in _map(signature, number).items()}
        return {
            key: (_text(info.get(1, b"")), _dtype(info.get(2, 0))) for key, info in infos.items()
        }

    return {
        name: (tensors(signature, 1), tensors(signature, 2))
        for name, signature in _map(memoryview(meta_graph), 5).items()
        if not name.startswith("__saved_model_")  # the loader's own: it names an initialization op
    }


def _dtype(number: int) -> str:
    return DTYPES.get(number, f"DataType {number}")


def _text(value: memoryview | bytes) -> str:
    return bytes(value).decode()


def _map(message: memoryview, number: int) -> dict[str, memoryview]:
    """Reads a map<string, message>: repeated entries with key = 1, value = 2."""
    entries = (dict(_fields(entry)) for field, entry in _fields(message) if field == number)
    return {_text(entry.get(1, b"")): entry.get(2, memoryview(b"")) for entry in entries}


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Walks the fields of a message: (number, integer or bytes)."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
        else:
            if kind not in (1, 2, 5):
                raise ValueError(f"wire type {kind} in a protobuf message")
            size, at = _varint(message, at) if kind == 2 else (8 if kind == 1 else 4, at)
            value, at = message[at : at + size], at + size
        yield tag >> 3, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Reads seven bits a byte, lowest first; returns the value and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def encoded_varint(value: int) -> bytes:
    low = []
    while value >= 0x80:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])


# Command line.
