"""JSON read value by value. Of a body of 32 MB `json.loads` makes one call that no other thread may interrupt."""

from __future__ import annotations

import json
from json import JSONDecodeError
from typing import Any, Final

__all__ = ["loads"]

_SPACE: Final = " \t\n\r"
# NaN is what spreadsheets write for an empty cell
_DECODER: Final = json.JSONDecoder(parse_constant=lambda _: None)


def loads(text: str) -> Any:
    """Return what `json.loads` returns, but None for NaN and infinities.

    Other threads get their turn between the values of a list, and of a list in an object: between the items.

    Raises:
        ValueError: it is not JSON
        RecursionError: it is nested too deeply
    """
    at = _skip(text, 0)
    value, end = _object(text, at + 1) if text.startswith("{", at) else _value(text, at)
    if (end := _skip(text, end)) != len(text):
        raise JSONDecodeError("Extra data", text, end)
    return value


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _value(text: str, at: int) -> tuple[Any, int]:
    return _list(text, at + 1) if text.startswith("[", at) else _DECODER.raw_decode(text, at)


def _list(text: str, at: int) -> tuple[list[Any], int]:
    values: list[Any] = []
    at = _skip(text, at)
    if text.startswith("]", at):
        return values, at + 1
    while True:
        value, at = _DECODER.raw_decode(text, at)
        values.append(value)
        at = _skip(text, at)
        if text.startswith("]", at):
            return values, at + 1
        at = _after_comma(text, at)


def _object(text: str, at: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    at = _skip(text, at)
    if text.startswith("}", at):
        return values, at + 1
    while True:
        if not text.startswith('"', at):
            raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if not text.startswith(":", at):
            raise JSONDecodeError("Expecting ':' delimiter", text, at)
        values[name], at = _value(text, _skip(text, at + 1))
        at = _skip(text, at)
        if text.startswith("}", at):
            return values, at + 1
        at = _after_comma(text, at)


def _after_comma(text: str, at: int) -> int:
    if not text.startswith(",", at):
        raise JSONDecodeError("Expecting ',' delimiter", text, at)
    return _skip(text, at + 1)
