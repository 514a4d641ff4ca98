"""What killed runs left behind."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH108, PTH118
from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from raddle.workloads.media.replace.names import main_temporary
from raddle.workloads.media.replace.restoring import folders
from raddle.workloads.media.replace.system import identity_of, lock, sync_folder
from raddle.workloads.media.replace.trash import Entry, entries, locked, remove_entry

__all__ = ["Swept", "sweep"]


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did."""

    #: temporary files that were removed
    removed: tuple[str, ...] = ()
    #: originals whose replacement had been cut off, and is now undone or finished
    settled: tuple[str, ...] = ()
    #: what a process is working on, or what cannot be told here
    in_use: tuple[str, ...] = ()


def sweep(folder: str, *, recursive: bool = False) -> Swept:
    """Remove what killed runs left, and end the replacements that they began; what is in use is left alone."""
    removed: list[str] = []
    settled: list[str] = []
    busy: list[str] = []
    for place in folders(folder, recursive=recursive):
        for entry in entries(place):
            with locked(entry) as mine:
                if not mine:
                    busy.append(entry.path)
                elif _settle(entry):
                    settled.append(os.path.join(place, entry.original))
        gone, used = _sweep_temporaries(place)
        removed += gone
        busy += used
    return Swept(tuple(removed), tuple(settled), tuple(busy))


def _settle(entry: Entry) -> bool:
    """End a replacement that was cut off: undo it if the result is not there, else finish it."""
    kept = entry.file
    if kept is None:
        remove_entry(entry)
        return True
    record = entry.record
    source, result = (os.path.join(entry.folder, name) for name in (entry.original, entry.result))
    passing = record is not None and record.passing
    # The second where there are no links: the trash has a copy then.
    in_place = _same(source, kept) or (record is not None and _is(source, record.old))
    if not in_place:
        if passing:
            remove_entry(entry)
        return passing
    published = source != result and record is not None and _is(result, record.new)
    if published:
        os.unlink(source)
        sync_folder(entry.folder)
    if not published or passing:
        remove_entry(entry)
    return True


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except FileNotFoundError:
        return False


def _is(path: str, identity: tuple[int, int, int, int]) -> bool:
    try:
        return identity_of(os.lstat(path)) == identity
    except FileNotFoundError:
        return False


def _sweep_temporaries(folder: str) -> tuple[list[str], list[str]]:
    with os.scandir(folder) as listed:
        names = {entry.name for entry in listed if entry.is_file(follow_symlinks=False)}
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        main = main_temporary(name)
        if main is not None:
            groups.setdefault(main, []).append(name)
    removed: list[str] = []
    busy: list[str] = []
    for main, mine in groups.items():
        paths = [os.path.join(folder, name) for name in mine]
        (removed if _remove_unlocked(os.path.join(folder, main), paths) else busy).extend(paths)
    return removed, busy


def _remove_unlocked(main: str, paths: list[str]) -> bool:
    try:
        fd = os.open(main, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = -1  # what went with it is nobody's
    try:
        if fd >= 0 and lock(fd) is not True:
            return False
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    finally:
        if fd >= 0:
            os.close(fd)
    return True
