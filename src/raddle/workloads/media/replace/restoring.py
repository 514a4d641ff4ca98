"""Originals back from the trash, and old ones out of it."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH105, PTH108, PTH112, PTH118, PTH119, PTH120
from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from raddle.errors import ConfigError
from raddle.workloads.media.replace.errors import ReplaceError, SourceChanged, TargetTaken
from raddle.workloads.media.replace.names import KEPT, TRASH, temporary_name
from raddle.workloads.media.replace.system import (
    exchange,
    identity_of,
    link_or_copy,
    rename_new,
    sync_folder,
)
from raddle.workloads.media.replace.trash import Entry, Record, add_entry, entries, locked, remove_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

__all__ = ["Expired", "Restored", "expire", "folders", "restore"]


@dataclass(frozen=True, slots=True)
class Restored:
    """An original that is back, or why it is not."""

    path: str
    #: "" if it is back
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Expired:
    """What was removed from the trash."""

    files: int
    freed: int


def restore(path: str, *, recursive: bool = False, force: bool = False) -> tuple[Restored, ...]:
    """Bring an original back, or those of a folder, the newest of each name; the results go.

    A result that was changed since stays, and its original too, unless `force` is given: then the result goes to the
    trash.

    Raises:
        ConfigError: there is nothing to bring back
    """
    found: list[Restored] = []
    if os.path.isdir(path):
        for folder in folders(path, recursive=recursive):
            found += [_restore(entry, force=force) for entry in _newest(folder)]
    else:
        folder, name = os.path.split(os.path.join(os.path.curdir, path))
        found += [_restore(e, force=force) for e in _newest(folder) if name in {e.original, e.result}][:1]
    if not found:
        raise ConfigError(
            f"path={path!r}: no original of it is in the trash: give its path or its folder, -R for those below"
        )
    return tuple(found)


def _newest(folder: str) -> list[Entry]:
    """Return one entry for each name: the last; with those of a name's results before those of its originals."""
    chosen: dict[str, Entry] = {}
    there = [entry for entry in entries(folder) if entry.file is not None]
    aside = [entry for entry in there if entry.record is not None and entry.record.aside]
    for entry in [*aside, *(entry for entry in there if entry not in aside)]:  # the later replaces the earlier
        if entry.original:
            chosen.pop(entry.original, None)
            chosen[entry.original] = entry
    latest = sorted(chosen.values(), key=lambda entry: (entry.when, entry.path), reverse=True)
    done: set[str] = set()
    found: list[Entry] = []
    for entry in latest:
        # a.avi became a.mkv, and that another a.mkv: the last of these first, the other with the next call
        if not {entry.original, entry.result} & done:
            found.append(entry)
            done |= {entry.original, entry.result}
    return found


def _restore(entry: Entry, *, force: bool) -> Restored:
    path = os.path.join(entry.folder, entry.original)
    try:
        with locked(entry) as mine:
            if not mine:
                return Restored(path, f"path={path!r} is being replaced at this moment: try again when that is done")
            _put_back(entry, path, force=force)
    except (ReplaceError, OSError) as error:
        return Restored(path, str(error))
    return Restored(path)


def _put_back(entry: Entry, path: str, *, force: bool) -> None:
    kept = entry.file
    if kept is None:
        raise SourceChanged(f"path={path!r}: its original is not in the trash any more")
    result = os.path.join(entry.folder, entry.result)
    there = os.path.lexists(result)
    ours = there and entry.record is not None and identity_of(os.lstat(result)) == entry.record.new
    if there and not ours and not force:
        raise SourceChanged(f"path={result!r} was changed after it was made: restore with force puts it into the trash")
    if path != result and os.path.lexists(path):
        raise TargetTaken(f"path={path!r} exists and is never overwritten: move it away")
    if there and not ours:
        _set_aside(result)
    temporary = os.path.join(entry.folder, temporary_name(entry.original))
    try:
        link_or_copy(kept, temporary)
        if there and path == result:
            _swap_back(temporary, path, entry, force=force)
        else:
            rename_new(temporary, path)
            if ours:
                os.unlink(result)
        sync_folder(entry.folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    remove_entry(entry)


def _swap_back(temporary: str, path: str, entry: Entry, *, force: bool) -> None:
    if not exchange(temporary, path):
        os.replace(temporary, path)
    elif not force and entry.record is not None and identity_of(os.lstat(temporary)) != entry.record.new:
        exchange(temporary, path)
        raise SourceChanged(f"path={path!r} was changed at this moment: left as it is; try again")


def _set_aside(path: str) -> None:
    name = os.path.basename(path)
    identity = identity_of(os.lstat(path))
    _, fd = add_entry(path, Record(name, name, identity, (0, 0, 0, 0), aside=True), "trash")
    os.close(fd)


def expire(folder: str, days: float, now: datetime, *, recursive: bool = False) -> Expired:
    """Remove originals that have been in the trash for more than `days`; those kept for good stay."""
    files = freed = 0
    for place in folders(folder, recursive=recursive):
        for entry in entries(place):
            for_days = os.path.basename(os.path.dirname(entry.path)) == TRASH
            if not for_days or now - entry.when <= timedelta(days=days):
                continue
            with locked(entry) as mine:
                if mine:
                    files += 1
                    freed += remove_entry(entry)
    return Expired(files, freed)


def folders(folder: str, *, recursive: bool) -> Iterator[str]:
    if not recursive:
        yield folder
        return
    for place, inner, _ in os.walk(folder):
        inner[:] = sorted(name for name in inner if name not in {TRASH, KEPT})
        yield place
