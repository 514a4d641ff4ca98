"""Originals of replaced files: one folder for each, and a record beside it that tells what took its place.

    .raddle-trash/20260131T180501.123456-k3v7qzpa/NAME
    .raddle-trash/20260131T180501.123456-k3v7qzpa.json

A record is locked by the process that is replacing, until it is done.
"""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH102, PTH106, PTH108, PTH118, PTH119, PTH120, PTH123, PTH208
from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypedDict

from raddle.workloads.media.replace.names import KEPT, TRASH
from raddle.workloads.media.replace.system import Identity, link_or_copy, lock, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Entry", "Originals", "Record", "add_entry", "entries", "locked", "remove_entry", "retell"]

Originals = Literal["trash", "keep", "delete"]

_STAMP = "%Y%m%dT%H%M%S.%f"
_TRIES = 20
_BEFORE = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Record:
    """What happened. Names are without their folder, which may have been moved since."""

    original: str
    #: what took its place; the same name unless the container changed
    result: str
    old: Identity
    new: Identity
    #: the original was not to be kept at all
    passing: bool = False
    #: it made room for a restored original, and was none itself
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An original in the trash. `record` None: it was lost or damaged; the name of the file still tells."""

    path: str
    folder: str
    when: datetime
    record: Record | None

    @property
    def file(self) -> str | None:
        """Return the path of the original; None: it is not there (any more)."""
        try:
            names = os.listdir(self.path)
        except OSError:
            return None
        return os.path.join(self.path, names[0]) if names else None

    @property
    def original(self) -> str:
        """Return its name."""
        if self.record is not None:
            return self.record.original
        return os.path.basename(self.file or "")

    @property
    def result(self) -> str:
        """Return the name of what took its place."""
        return self.record.result if self.record is not None else self.original


class _Json(TypedDict):
    original: str
    result: str
    old: list[int]
    new: list[int]
    passing: bool
    aside: bool


def add_entry(source: str, record: Record, originals: Originals, *, now: datetime | None = None) -> tuple[Entry, int]:
    """Link `source` into the trash beside it; return the entry and a descriptor that keeps it locked.

    The entry is on the disk when this returns.
    """
    folder = os.path.dirname(source)
    trash = os.path.join(folder, KEPT if originals == "keep" else TRASH)
    when = now or datetime.now(UTC)
    token = base64.b32encode(secrets.token_bytes(5)).decode().lower()
    path = f"{trash}/{when.strftime(_STAMP)}-{token}"
    fd = _open_record(trash, f"{path}.json")
    entry = Entry(path, folder, when, record)
    try:
        lock(fd)
        os.write(fd, json.dumps(asdict(record)).encode())
        os.mkdir(path, 0o700)
        link_or_copy(source, f"{path}/{record.original}")
        sync_folder(path)
        sync_folder(trash)
    except BaseException:
        remove_entry(entry)
        os.close(fd)
        raise
    return entry, fd


def retell(file: str, result: str, new: Identity) -> None:
    """Let the record of an original in the trash tell that by now another result stands in its place.

    Args:
        file: path of the original, `Replaced.original`
        result: name of the result
        new: its identity
    """
    path = f"{os.path.dirname(file)}.json"
    record = _record(path)
    if record is None:
        return  # it is asked for with force then
    text = json.dumps(asdict(replace(record, result=result, new=new)))
    with open(path, "r+b") as told:
        told.write(text.encode())
        told.truncate()


def _open_record(trash: str, path: str) -> int:
    for again in range(_TRIES):
        with contextlib.suppress(FileExistsError):
            os.mkdir(trash, 0o700)
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # another worker emptied the trash, and took it away, between the two calls
            if again == _TRIES - 1:
                raise
    raise AssertionError(path)


def entries(folder: str) -> list[Entry]:
    """Return what the trash of a folder holds, the oldest first."""
    found: list[Entry] = []
    for trash in (f"{folder}/{TRASH}", f"{folder}/{KEPT}"):
        try:
            names = os.listdir(trash)
        except (FileNotFoundError, NotADirectoryError):
            continue
        marks = {name.removesuffix(".json") for name in names}
        found += [Entry(f"{trash}/{mark}", folder, when, _record(f"{trash}/{mark}.json"))
                  for mark in marks if (when := _when(mark)) != _BEFORE]  # fmt: skip
    return sorted(found, key=lambda entry: (entry.when, entry.path))


def _when(mark: str) -> datetime:
    stamp, _, token = mark.rpartition("-")
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC) if token else _BEFORE
    except ValueError:  # not of ours
        return _BEFORE


def _record(path: str) -> Record | None:
    try:
        with open(path, encoding="utf-8") as file:
            told: _Json = json.load(file)
        old, new = ((int(a), int(b), int(c), int(d)) for a, b, c, d in (told["old"], told["new"]))
        return Record(told["original"], told["result"], old, new, passing=told["passing"], aside=told["aside"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def locked(entry: Entry) -> Iterator[bool]:
    """Lock an entry that is nobody's; False: a process is at it."""
    try:
        fd = os.open(f"{entry.path}.json", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # nobody can be at it without
        yield True
        return
    try:
        yield lock(fd) is not False
    finally:
        os.close(fd)


def remove_entry(entry: Entry) -> int:
    """Remove an entry; return the bytes it held alone. The trash goes with the last of them."""
    freed = 0
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(entry.path):
            path = f"{entry.path}/{name}"
            stat = os.lstat(path)
            freed += stat.st_size if stat.st_nlink == 1 else 0
            os.unlink(path)
        os.rmdir(entry.path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{entry.path}.json")
    with contextlib.suppress(OSError):  # others are in it
        os.rmdir(os.path.dirname(entry.path))
    return freed
