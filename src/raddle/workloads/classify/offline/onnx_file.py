"""Writes an ONNX model: just enough of protobuf for float tensors and a chain of nodes.

Field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3), IR version 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Graph", "varint"]

_IR_VERSION, _OPSET = 8, 13
_FLOAT: Final = 1
_VARINT, _BYTES = 0, 2
_ATTRIBUTE_INT, _ATTRIBUTE_STRING, _ATTRIBUTE_INTS = 2, 3, 7

Attribute = int | str | tuple[int, ...]


def varint(value: int) -> bytes:
    """Return a number as protobuf has it: seven bits a byte, the lowest first; `value` is at least 0."""
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(tag: int, value: int) -> bytes:
    return varint(tag << 3 | _VARINT) + varint(value)


def _block(tag: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(tag << 3 | _BYTES) + varint(len(data)) + data


@dataclass(slots=True)
class Graph:
    """A graph under construction; `node` and `tensor` return the name of what they add."""

    _nodes: list[bytes] = field(default_factory=list)
    _tensors: list[bytes] = field(default_factory=list)

    def tensor(self, values: NDArray[np.float32]) -> str:
        """Add constant float values."""
        name = f"c{len(self._tensors)}"
        dims = b"".join(_number(1, size) for size in values.shape)
        content = dims + _number(2, _FLOAT) + _block(8, name) + _block(9, values.astype("<f4").tobytes())
        self._tensors.append(_block(5, content))
        return name

    def node(
        self, kind: str, inputs: Sequence[str], attributes: Mapping[str, Attribute] | None = None, *, output: str = ""
    ) -> str:
        """Add an operation, and return its one output."""
        name = output or f"n{len(self._nodes)}"
        content = b"".join(_block(1, one) for one in inputs) + _block(2, name) + _block(4, kind)
        content += b"".join(_block(5, _attribute(key, value)) for key, value in (attributes or {}).items())
        self._nodes.append(_block(1, content))
        return name

    def model(self, inputs: Mapping[str, Sequence[int | str]], outputs: Mapping[str, Sequence[int | str]]) -> bytes:
        """Return the file; shapes are numbers, or names where the size is not fixed."""
        graph = b"".join(self._nodes) + _block(2, "raddle") + b"".join(self._tensors)
        graph += b"".join(_block(11, _value(name, shape)) for name, shape in inputs.items())
        graph += b"".join(_block(12, _value(name, shape)) for name, shape in outputs.items())
        opset = _block(8, _block(1, "") + _number(2, _OPSET))
        return _number(1, _IR_VERSION) + _block(2, "raddle") + _block(7, graph) + opset


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, str):
        return _block(1, name) + _block(4, value) + _number(20, _ATTRIBUTE_STRING)
    if isinstance(value, int):
        return _block(1, name) + _number(3, value) + _number(20, _ATTRIBUTE_INT)
    return _block(1, name) + b"".join(_number(8, one) for one in value) + _number(20, _ATTRIBUTE_INTS)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_block(1, _number(1, one) if isinstance(one, int) else _block(2, one)) for one in shape)
    return _block(1, name) + _block(2, _block(1, _number(1, _FLOAT) + _block(2, dims)))
