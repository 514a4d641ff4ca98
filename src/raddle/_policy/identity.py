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

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "canonical",
    "function_name",
    "function_version",
    "given_id",
    "given_ids",
    "item_id",
    "item_ids",
    "refuse_duplicates",
]

_blake2b = hashlib.blake2b


def item_id(item: Any) -> bytes:
    """Return a digest of the item's content: equal content, equal id, in any process.

    Raises:
        TypeError: if the item has no content that can be written down (give `id=` then)
    """
    return _blake2b(canonical(item), digest_size=16).digest()


def item_ids(items: Sequence[Any]) -> list[bytes]:
    """Return `item_id` of each, several times as fast where all are of one of the usual types.

    Raises:
        TypeError: if an item has no content that can be written down (give `id=` then)
    """
    kinds = set(map(type, items))
    if kinds == {int}:
        return [_blake2b(b"i%x;" % item, digest_size=16).digest() for item in items]
    if kinds == {str}:
        return list(map(_digest_of_text, items))
    if kinds == {bytes}:
        return [_blake2b(b"b%d:%b" % (len(item), item), digest_size=16).digest() for item in items]
    return [_blake2b(canonical(item), digest_size=16).digest() for item in items]


def _digest_of_text(item: str) -> bytes:
    raw = item.encode("utf-8", "surrogatepass")
    return _blake2b(b"s%d:%b" % (len(raw), raw), digest_size=16).digest()


def given_id(value: Any) -> bytes:
    """Return the bytes of an id that the caller's `id=` function gave.

    Raises:
        TypeError: if it is none of str, bytes, int, path
    """
    if isinstance(value, (str, bytes, int, PurePath)) and not isinstance(value, bool):
        return canonical(value)
    raise TypeError(f"id={value!r}: must be a str, bytes, int or path, not {type(value).__name__}")


def given_ids(id_of: Callable[[Any], Any], items: Iterable[Any]) -> list[bytes]:
    """Return `given_id` of what the caller's function says of each item."""
    return [given_id(id_of(item)) for item in items]


def refuse_duplicates(items: Iterable[Any], id_of: Callable[[Any], Any]) -> None:
    """See to it that no two items have one id.

    Raises:
        ConfigError: naming both
    """
    seen: dict[bytes, int] = {}
    for position, item in enumerate(items):
        given = id_of(item)
        first = seen.setdefault(given_id(given), position)
        if first != position:
            raise ConfigError(f"id={given!r}: given to items {first} and {position}; an id must name one item")


def canonical(value: Any) -> bytes:
    """Write a value down, tagged by type and length, so that different values never give the same bytes.

    Text may hold unpaired surrogates (file names on Linux do); dictionaries and sets do not depend on their order.
    """
    # The usual types without the generators below, at a third of the time.
    kind = type(value)
    if kind is str:
        raw = value.encode("utf-8", "surrogatepass")
        return b"s%d:%b" % (len(raw), raw)
    if kind is int:
        return b"i%x;" % value
    if kind is bytes:
        return b"b%d:%b" % (len(value), value)
    if kind is tuple or kind is list:
        return b"%b%d[%b" % (b"t" if kind is tuple else b"l", len(value), b"".join(map(canonical, value)))
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


def _function_pieces(func: Any, seen: frozenset[int] = frozenset()) -> Iterator[bytes]:
    if isinstance(func, functools.partial):
        yield canonical((func.args, func.keywords))
        func = func.func
    owner = getattr(func, "__self__", None)
    func = getattr(func, "__func__", func)
    code = getattr(func, "__code__", None)
    if code is None and not isinstance(func, type):
        owner, func = func, type(func).__call__
        code = getattr(func, "__code__", None)
    if code is None:
        raise TypeError("no code to look at")
    yield canonical((func.__defaults__, func.__kwdefaults__))
    yield from _code_pieces(code)
    yield from _bound_pieces([] if owner is None else [owner], seen)
    if id(func) not in seen:  # a function that calls itself holds itself
        yield from _bound_pieces(func.__closure__ or (), seen | {id(func)})


def _bound_pieces(bound: Any, seen: frozenset[int]) -> Iterator[bytes]:
    """Write down what a function carries with it: the object of a method, the variables of a closure.

    Plain data only, of objects their attributes. A pickle of anything else need not be the same in the next program
    (sets of str in it have another order), and would refuse a resume that is right.
    """
    for value in bound:
        try:
            if isinstance(value, types.CellType):
                value = value.cell_contents  # noqa: PLW2901
            if isinstance(value, types.FunctionType):
                yield from list(_function_pieces(value, seen))
                continue
            if not _is_plain(value):
                value = (type(value).__qualname__, vars(value))  # noqa: PLW2901
            yield canonical(value) if _is_plain(value) else b"?"
        except (TypeError, ValueError, RecursionError):
            yield b"?"


def _is_plain(value: Any) -> bool:
    match value:
        case str() | bytes() | bool() | None | int() | float() | complex() | PurePath():
            return True
        case list() | tuple() | set() | frozenset():
            return all(map(_is_plain, value))
        case dict():
            return all(map(_is_plain, value.keys())) and all(map(_is_plain, value.values()))
        case _:
            return False


def _code_pieces(code: types.CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield canonical((code.co_names, code.co_varnames))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code_pieces(constant)
        else:
            yield canonical(constant)
