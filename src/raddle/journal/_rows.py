"""Values to rows and back. Whatever a user's item or error holds, a row can be made of it."""

from __future__ import annotations

import hashlib
import os
import pickle
import reprlib
import struct
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any
from zlib import crc32

from raddle.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from raddle._model import ErrorInfo

__all__ = [
    "count",
    "error_columns",
    "label_of_key",
    "labels",
    "load_value",
    "pack",
    "safe_text",
    "seals",
    "short",
    "store_file",
    "unpack",
    "values_folder",
]

_LABEL = 200
_MESSAGE = 100_000
_TRACEBACK = 1_000_000
_INT_BITS = 512
_SMALL = 1 << _INT_BITS
# A text of so few printable ASCII characters has a repr() below the limit, whatever is escaped in it.
_PLAIN = 99

_repr = reprlib.Repr()
_repr.maxlevel = 3
_repr.maxstring = _repr.maxother = _LABEL
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = _repr.maxfrozenset = 8


def safe_text(text: str, limit: int = _MESSAGE) -> str:
    """Make a text that SQLite stores and returns unchanged: no unpaired surrogate, no NUL, not endless."""
    if len(text) > limit:
        text = f"{text[: limit // 2]}…{text[-(limit // 2) + 1 :]}" if limit > _LABEL else f"{text[: limit - 1]}…"
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00") if "\0" in text else text


def short(value: object) -> str:
    """Describe an item for people; never raises, whatever its `__repr__` does."""
    kind = type(value)
    if kind is str or kind is bytes:
        text = repr(value) if len(value) <= _LABEL else repr(value[:_LABEL])[:-1] + "…"  # type: ignore[arg-type,index]
    elif isinstance(value, int) and value.bit_length() > _INT_BITS:
        text = f"<int of {value.bit_length()} bits>"  # Python refuses to print the longest ones
    elif kind is int or kind is float:
        return repr(value)
    else:
        try:
            text = _repr.repr(value)
        except Exception as broken:  # noqa: BLE001 - a hostile __repr__ must not cost more than its own text
            text = f"<unprintable {kind.__name__}: {type(broken).__name__}>"
    return safe_text(text, _LABEL)


def labels(items: Sequence[object]) -> Iterable[str]:
    """Return `short` of each item, quickly where all are small numbers or short plain texts."""
    kinds = set(map(type, items))
    if kinds == {int} and min(items) > -_SMALL and max(items) < _SMALL:  # type: ignore[type-var,operator]
        return map(repr, items)
    if kinds == {str}:
        return [_short_text(text) for text in items]  # type: ignore[arg-type]
    return map(short, items)


def _short_text(text: str) -> str:
    return repr(text) if len(text) < _PLAIN and text.isascii() and text.isprintable() else short(text)


def label_of_key(key: object) -> str | None:
    """Return `short` of a key, None if there is none."""
    return None if key is None else short(key)


def seals(ids: Iterable[bytes], positions: Iterable[int], values: Iterable[bytes]) -> Iterator[int]:
    """Return the checksum of each row's id, position and value: what tells that a disk has changed them."""
    return map(crc32, values, map(crc32, ids, positions))


def error_columns(error: ErrorInfo | None) -> tuple[str | None, str | None, str | None]:
    """Return type, message and traceback."""
    if error is None:
        return None, None, None
    return safe_text(error.type), safe_text(error.message), safe_text(error.traceback, _TRACEBACK)


def pack(ids: Sequence[bytes]) -> bytes:
    """Put ids into one BLOB: their number, their lengths, their bytes."""
    return struct.pack(f"<{len(ids) + 1}I", len(ids), *map(len, ids)) + b"".join(ids)


def count(blob: bytes) -> int:
    """Return how many ids `pack` put into what begins with these bytes."""
    return int.from_bytes(blob[:4], "little")


def unpack(blob: bytes) -> list[bytes]:
    """Take apart what `pack` made."""
    (count,) = struct.unpack_from("<I", blob)
    lengths = struct.unpack_from(f"<{count}I", blob, 4)
    ends = accumulate(lengths, initial=4 * (count + 1))
    return [blob[start:end] for start, end in pairwise(ends)]


def values_folder(journal: Path) -> Path:
    """Return where values lie that are too big for a row."""
    return journal.with_name(journal.name + ".values")


def store_file(journal: Path, stored: bytes) -> str:
    """Write a value that is too big for a row, durably; return the name of its file."""
    folder = values_folder(journal)
    name = hashlib.sha256(stored).hexdigest()
    target, draft = folder / name, folder / f"{name}.part"
    if not folder.is_dir():
        folder.mkdir()
        _sync_folder(journal.parent)
    if target.exists() and target.stat().st_size == len(stored):
        return name
    with draft.open("wb") as out:
        out.write(stored)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(target)
    _sync_folder(folder)
    return name


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def load_value(journal: Path, stored: bytes | None, file: str | None, size: int) -> Any:
    """Unpickle the value of an item that ended ok.

    Raises:
        JournalError: it was not recorded, or its file is missing or damaged
        Exception: whatever unpickling raises, such as AttributeError when its class has moved
    """
    if file is not None:
        try:
            stored = (values_folder(journal) / file).read_bytes()
        except OSError as error:
            raise JournalError(f"journal={journal}: the value in {file} cannot be read: {error.strerror}") from error
        if len(stored) != size or hashlib.sha256(stored).hexdigest() != file:
            raise JournalError(f"journal={journal}: the value in {file} is damaged: its size or digest is wrong")
    if not stored:
        raise JournalError(f"journal={journal}: this item's value was not recorded: run it again")
    return pickle.loads(stored)  # noqa: S301 - the user's own journal; the file says so in its documentation
