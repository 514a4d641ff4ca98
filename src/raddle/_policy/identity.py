"""What an item and a function are, as bytes that stay the same from one program run to the next."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pickle
import types
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["canonical", "function_name", "function_version", "given_id", "item_id"]


def item_id(item: Any) -> bytes:
    """Return a digest of the item's content: equal content, equal id, in any process.

    Raises:
        TypeError: if the item has no content that can be written down (give `id=` then)
    """
    return hashlib.blake2b(canonical(item), digest_size=16).digest()


def given_id(value: Any) -> bytes:
    """Return the bytes of an id that the caller's `id=` function gave.

    Raises:
        TypeError: if it is none of str, bytes, int, path
    """
    if isinstance(value, (str, bytes, int, PurePath)) and not isinstance(value, bool):
        return canonical(value)
    raise TypeError(f"id={value!r}: must be a str, bytes, int or path, not {type(value).__name__}")


def canonical(value: Any) -> bytes:
    """Write a value down, tagged by type and length, so that different values never give the same bytes.

    Text may hold unpaired surrogates (file names on Linux do); dictionaries and sets do not depend on their order.
    """
    return b"".join(_pieces(value))


def _pieces(value: Any) -> Iterator[bytes]:
    match value:
        case str():
            raw = value.encode("utf-8", "surrogatepass")
            yield b"s%d:" % len(raw)
            yield raw
        case bytes() | bytearray():
            yield b"b%d:" % len(value)
            yield bytes(value)
        case bool() | None:
            yield b"c" + repr(value).encode() + b";"
        case int():
            yield b"i%x;" % value
        case float() | complex():
            yield b"f" + repr(value).encode() + b";"
        case PurePath():
            raw = os.fsencode(value)
            yield b"p%d:" % len(raw)
            yield raw
        case _:
            yield from _pieces_of_many(value)


def _pieces_of_many(value: Any) -> Iterator[bytes]:
    match value:
        case list() | tuple():
            yield b"%s%d[" % (b"l" if isinstance(value, list) else b"t", len(value))
            for element in value:
                yield from _pieces(element)
        case dict():
            yield b"d%d{" % len(value)
            for key, element in sorted((canonical(k), canonical(v)) for k, v in value.items()):
                yield key
                yield element
        case set() | frozenset():
            yield b"e%d{" % len(value)
            yield from sorted(canonical(element) for element in value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            name = type(value).__qualname__.encode()
            yield b"D%d:" % len(name) + name
            for field in dataclasses.fields(value):
                yield from _pieces(getattr(value, field.name))
        case _:
            yield from _pickled(value)


def _pickled(value: Any) -> Iterator[bytes]:
    try:
        raw = pickle.dumps(value, protocol=4)
    except Exception as error:
        raise TypeError(
            f"an item of type {type(value).__name__} has no content to recognise it by ({error}): give id=..."
        ) from error
    yield b"P%d:" % len(raw)
    yield raw


def function_name(func: Callable[..., Any]) -> str:
    """Return "module:qualname"; for a partial, that of the function inside."""
    while isinstance(func, functools.partial):
        func = func.func
    module = getattr(func, "__module__", None) or type(func).__module__
    return f"{module}:{getattr(func, '__qualname__', type(func).__qualname__)}"


def function_version(func: Callable[..., Any]) -> str:
    """Return a digest of the function's code, defaults and bound arguments; "" if they cannot be told.

    It changes when the function's own code does, not when something that it calls does.
    """
    digest = hashlib.blake2b(digest_size=8)
    try:
        for piece in _function_pieces(func):
            digest.update(piece)
    except TypeError:
        return ""
    return digest.hexdigest()


def _function_pieces(func: Any) -> Iterator[bytes]:
    if isinstance(func, functools.partial):
        yield canonical((func.args, func.keywords))
        func = func.func
    func = getattr(func, "__func__", func)
    code = getattr(func, "__code__", None)
    if code is None:
        raise TypeError("no code to look at")
    yield canonical((func.__defaults__, func.__kwdefaults__))
    yield from _code_pieces(code)


def _code_pieces(code: types.CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield canonical((code.co_names, code.co_varnames))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code_pieces(constant)
        else:
            yield canonical(constant)
