"""A disk under SQLite that remembers what is written to it, fails when told to, and can lose power.

It is a VFS (SQLite's own seam to the operating system) around the real one, in the very library that Python's
`sqlite3` uses: what runs above it is the real journal, unchanged. Files that are not SQLite's (the run lock, values in
files of their own) do not pass through it.

    with FaultyDisk() as disk:
        ...  # all connections opened here use it, and must be closed here
    disk.cut(1000, folder, random.Random(1))  # what the disk holds if power is cut after a thousand operations
"""

from __future__ import annotations

import ctypes
import sqlite3
from ctypes import CFUNCTYPE, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

__all__ = ["FaultyDisk", "Operation"]

_SECTOR = 512
_WATCHED = 0x00000100 | 0x00000800 | 0x00080000  # SQLITE_OPEN_MAIN_DB, _MAIN_JOURNAL, _WAL
_names = count(1)

_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    _fields_: ClassVar[Any] = (
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
        ("rest", c_void_p * 14),
    )


class _Methods(ctypes.Structure):
    _fields_: ClassVar[Any] = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("rest", c_void_p * 13),
    )


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that reached the disk, or a `mark` that was set between."""

    #: "write", "truncate", "sync", "delete" or "mark"
    kind: str
    name: str = ""
    #: offset of a write, size of a truncation
    place: int = 0
    data: bytes = b""
    mark: Any = None


class FaultyDisk:
    """The disk under every SQLite connection of this process that is opened while it is entered.

    Args:
        fail_at: the operation (open, write, truncate, sync; counted from 1) that fails; 0: none
        code: how it fails, such as `sqlite3.SQLITE_FULL`
        for_ever: all after it fail too

    Raises (when entered):
        RuntimeError: Python's SQLite is built in, so that nothing can be put under it
    """

    def __init__(self, *, fail_at: int = 0, code: int = sqlite3.SQLITE_FULL, for_ever: bool = False) -> None:
        self.operations: list[Operation] = []
        #: how many operations failed
        self.failed = 0
        self._fail_at, self._code, self._for_ever = fail_at, code, for_ever
        self._count = 0
        self._files: dict[int, str] = {}
        self._patched: dict[int, tuple[_Methods, Any]] = {}
        self._keep: list[Any] = []
        self._vfs = _Vfs()

    def __enter__(self) -> Self:
        library = _library()
        library.sqlite3_vfs_find.restype = c_void_p
        library.sqlite3_vfs_find.argtypes = [c_char_p]
        address = library.sqlite3_vfs_find(None)
        self._real_address, real = address, _Vfs.from_address(address)
        self._open, self._delete = _Open(real.open), _Delete(real.delete)
        self._vfs = _Vfs.from_buffer_copy(real)
        self._vfs.name, self._vfs.next = b"raddle-faulty-disk-%d" % next(_names), None
        self._vfs.open = self._callback(_Open, self._on_open)
        self._vfs.delete = self._callback(_Delete, self._on_delete)
        if library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1):
            raise RuntimeError("SQLite does not take the disk")
        return self

    def __exit__(self, *_: object) -> None:
        library = _library()
        library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        library.sqlite3_vfs_register(c_void_p(self._real_address), 1)

    def mark(self, what: Any) -> None:
        """Note that something happened between the operations before and after."""
        self.operations.append(Operation("mark", mark=what))

    def cut(self, after: int, folder: Path, chance: random.Random) -> list[Any]:
        """Write what is left in `folder` if power is cut after so many operations; return the marks before.

        Of what was not synced, each write is lost, torn or there, whatever came after it.
        """
        disk: dict[str, _File] = {}
        marks = []
        for operation in self.operations[:after]:
            if operation.kind == "mark":
                marks.append(operation.mark)
                continue
            file = disk.setdefault(operation.name, _File())
            if operation.kind == "sync" and not file.synced and operation.name.endswith(("-wal", "-journal")):
                # SQLite syncs the folder of a new one with it, so that what was deleted there before is gone.
                disk = {name: each for name, each in disk.items() if not each.deleted}
            file.do(operation)
        for name, file in disk.items():
            data = file.after_cut(chance)
            if data is not None:
                (folder / Path(name).name).write_bytes(data)
        return marks

    # ------------------------------------------------------------------------------------ called by SQLite

    def _fault(self) -> bool:
        self._count += 1
        fails = bool(self._fail_at) and (
            self._count >= self._fail_at if self._for_ever else self._count == self._fail_at
        )
        self.failed += fails
        return fails

    def _on_open(self, _vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        watched = bool(name) and bool(flags & _WATCHED)
        if watched and self._fault():
            c_void_p.from_address(file).value = None
            return sqlite3.SQLITE_CANTOPEN
        code = int(self._open(self._real_address, name, file, flags, out))
        if code == sqlite3.SQLITE_OK and watched:
            self._files[file] = ctypes.string_at(name or 0).decode()
            methods = c_void_p.from_address(file)
            methods.value = ctypes.addressof(self._patch(methods.value or 0))
        return code

    def _on_delete(self, _vfs: int, name: int, sync_folder: int) -> int:
        self.operations.append(Operation("delete", ctypes.string_at(name).decode()))
        return int(self._delete(self._real_address, name, sync_folder))

    def _patch(self, address: int) -> _Methods:
        """Return the methods of a file, with those that change it going through this disk."""
        if address not in self._patched:
            real = _Methods.from_address(address)
            write, truncate, sync = _Write(real.write), _Truncate(real.truncate), _Sync(real.sync)

            def on_write(file: int, data: int, size: int, offset: int) -> int:
                written = Operation("write", self._files[file], offset, ctypes.string_at(data, size))
                return self._do(written, lambda: write(file, data, size, offset))

            def on_truncate(file: int, size: int) -> int:
                return self._do(Operation("truncate", self._files[file], size), lambda: truncate(file, size))

            def on_sync(file: int, flags: int) -> int:
                return self._do(Operation("sync", self._files[file]), lambda: sync(file, flags))

            patched = _Methods.from_buffer_copy(real)
            patched.write = self._callback(_Write, on_write)
            patched.truncate = self._callback(_Truncate, on_truncate)
            patched.sync = self._callback(_Sync, on_sync)
            self._patched[address] = patched, (write, truncate, sync)
        return self._patched[address][0]

    def _do(self, operation: Operation, really: Callable[[], int]) -> int:
        if self._fault():
            return self._code
        code = int(really())
        if code == sqlite3.SQLITE_OK:
            self.operations.append(operation)
        return code

    def _callback(self, kind: Any, function: Callable[..., int]) -> int | None:
        made = kind(function)
        self._keep.append(made)
        return ctypes.cast(made, c_void_p).value


class _File:
    """A file on a disk with a cache that loses its content with the power."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending: list[Operation] = []
        self.deleted = False
        self.synced = False

    def do(self, operation: Operation) -> None:
        if operation.kind == "delete":
            self.deleted = True
            return
        if self.deleted:  # one of the same name is made anew
            self.durable, self.pending, self.deleted, self.synced = bytearray(), [], False, False
        if operation.kind == "sync":
            for each in self.pending:
                _apply(self.durable, each, len(each.data))
            self.pending.clear()
            self.synced = True
        else:
            self.pending.append(operation)

    def after_cut(self, chance: random.Random) -> bytes | None:
        if self.deleted and chance.random() < 0.5:
            return None
        for each in self.pending:
            fate = chance.random()
            if fate < 0.5:
                continue
            torn = fate < 0.6 and len(each.data) > _SECTOR
            _apply(self.durable, each, chance.randrange(0, len(each.data), _SECTOR) if torn else len(each.data))
        return bytes(self.durable)


def _apply(content: bytearray, operation: Operation, length: int) -> None:
    if operation.kind == "truncate":
        del content[operation.place :]
        return
    end = operation.place + length
    if end > len(content):
        content.extend(bytes(end - len(content)))
    content[operation.place : end] = operation.data[:length]


def _library() -> Any:
    """Return the SQLite that `sqlite3` uses: another copy would know nothing of its files."""
    import _sqlite3

    names: Sequence[str] = []
    if getattr(_sqlite3, "__file__", None):
        ctypes.CDLL(_sqlite3.__file__)  # found below among what this process has loaded
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        names = sorted({line.split()[-1] for line in lines if "libsqlite3" in line})
    if not names:
        raise RuntimeError("Python's SQLite is built in: use a Python that has it as a shared library")
    return ctypes.CDLL(names[0])
