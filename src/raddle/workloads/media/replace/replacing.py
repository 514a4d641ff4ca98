"""A verified result takes the original's place, and at every moment the path holds the one or the other.

1. owner, mode, attributes and times go to the result, and it is written to the disk
2. the original is linked into the trash
3. it is compared with what was probed: the same file, the same size, the same time
4. both change names in one step (renameat2, RENAME_EXCHANGE); where that is not to be had, the result is renamed over
   the original
5. what was displaced is compared again, and if somebody wrote in between, all goes back
6. what was displaced loses its second name

When the container changes, and with it the name, the result is linked to its new name, which never overwrites anything,
before the original loses its own.
"""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH105, PTH108, PTH114, PTH118, PTH119, PTH120
from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from raddle.errors import ConfigError
from raddle.workloads.media.replace.attributes import Times, carry_attributes
from raddle.workloads.media.replace.errors import DiskFull, HardLinked, NotWritable, SourceChanged, TargetTaken
from raddle.workloads.media.replace.system import Identity, exchange, identity_of, rename_new, sync_folder
from raddle.workloads.media.replace.trash import Entry, Originals, Record, add_entry, remove_entry, retell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from raddle.workloads.media.replace.staging import Stage

__all__ = ["STEPS", "Replaced", "check_replaceable", "replace_file"]

#: moments at which `step` is called
STEPS: Final = ("begun", "carried", "synced", "kept", "checked", "swapped", "settled", "cleared", "done")


@dataclass(frozen=True, slots=True)
class Replaced:
    """What was done."""

    #: of the result, with links followed
    path: str
    #: path of the original in the trash, or None
    original: str | None
    old: Identity
    new: Identity
    #: what could not be carried over to the result
    notes: tuple[str, ...] = ()


def check_replaceable(
    source: str, target: str, identity: Identity, *, hardlinks: Literal["skip", "break"] = "skip"
) -> str:
    """Check what can be known before any work; return where the result goes, links followed.

    Raises:
        SourceChanged: `source` is not the file that was probed, or gone
        HardLinked: it has further names
        TargetTaken: another file has the name of the result
        ConfigError: the container changes, and `source` is a symbolic link
    """
    real = os.path.realpath(source)
    try:
        stat = os.lstat(real)
    except FileNotFoundError as error:
        raise SourceChanged(f"path={source!r} is gone since it was probed: run again") from error
    _compare(stat, identity, source)
    if stat.st_nlink > 1 and hardlinks == "skip":
        raise HardLinked(
            f"path={source!r} has {stat.st_nlink - 1} further names, which would keep the old content: "
            "hardlinks: break replaces it all the same"
        )
    if target == source:
        return real
    if os.path.islink(source):
        raise ConfigError(f"path={source!r} is a symbolic link, and its name would change: give the file itself")
    final = os.path.join(os.path.dirname(real), os.path.basename(target))
    if os.path.lexists(final):
        raise _taken(final)
    return final


def replace_file(
    staged: Stage,
    target: str,
    identity: Identity,
    *,
    source: str | None = None,
    follows: str | None = None,
    originals: Originals = "trash",
    hardlinks: Literal["skip", "break"] = "skip",
    times: Times = "preserve",
    exchanging: bool = True,
    step: Callable[[str], None] = lambda name: None,  # noqa: ARG005 - named as in STEPS
) -> Replaced:
    """Let the verified result in `staged` take the place of its source.

    Args:
        staged: of `stage`, within its block
        target: the plan's: the source's path, or one beside it with another suffix
        identity: of the source when it was probed
        source: its path as the plan has it; default: where `staged` found it
        follows: the source is itself a result, and this is `Replaced.original` of it: it then stands for both, and the
            source is deleted
        originals: trash: for some days; keep: for good; delete: not at all
        hardlinks: skip: refuse a source with further names; break: these keep the old content
        times: of the result
        exchanging: False: do as on a file system that cannot exchange two names
        step: called with the name of each step that is done; tests end the process there

    Raises:
        ReplaceError: refused; the source is where it was
        OSError: the same, for reasons of the file system that have no error of ours
    """
    final = check_replaceable(source or staged.source, target, identity, hardlinks=hardlinks)
    step("begun")
    with _clear_errors(staged.folder):
        old = os.lstat(staged.source)
        fd = os.open(staged.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            notes = carry_attributes(staged.source, old, fd, times=times)
            step("carried")
            os.fsync(fd)
            step("synced")
            new = identity_of(os.fstat(fd))
        finally:
            os.close(fd)
        place = _Place(staged, final, identity, new, exchanging, step)
        entry = _swap(place, "delete" if follows else originals)
        if follows:
            retell(follows, os.path.basename(final), new)
    return Replaced(final, follows or (entry.file if entry else None), identity, new, notes)


@dataclass(frozen=True, slots=True)
class _Place:
    staged: Stage
    final: str
    old: Identity
    new: Identity
    exchanging: bool
    step: Callable[[str], None]

    @property
    def source(self) -> str:
        return self.staged.source

    @property
    def renamed(self) -> bool:
        return self.final != self.source


def _swap(place: _Place, originals: Originals) -> Entry | None:
    kept: tuple[Entry, int] | None = None
    if (
        originals != "delete" or place.renamed
    ):  # one renamed has two names for a moment; the record tells which one goes
        names = (os.path.basename(place.source), os.path.basename(place.final))
        record = Record(*names, place.old, place.new, passing=originals == "delete")
        kept = add_entry(place.source, record, originals)
    try:
        place.step("kept")
        try:
            _compare(os.lstat(place.source), place.old, place.source)
            place.step("checked")
            (_put_beside if place.renamed else _put_in_place)(place)
        except BaseException:
            # Only if nothing has happened yet: an interrupt may come later too, and then a sweep ends what was begun.
            begun = place.renamed and _is_there(place.final, place.new)
            if kept is not None and _is_there(place.source, place.old) and not begun:
                remove_entry(kept[0])
            raise
        entry = kept[0] if kept else None
        if entry is not None and originals == "delete":
            remove_entry(entry)
            entry = None
        place.step("done")
        return entry
    finally:
        if kept is not None:
            os.close(kept[1])


def _put_in_place(place: _Place) -> None:
    staged, final = place.staged.path, place.final
    exchanged = place.exchanging and exchange(staged, final)
    if not exchanged:
        os.replace(staged, final)
    place.step("swapped")
    if exchanged and identity_of(os.lstat(staged)) != place.old:
        exchange(staged, final)
        raise _changed(final)
    sync_folder(place.staged.folder)
    place.step("settled")
    if exchanged:
        os.unlink(staged)
    place.step("cleared")


def _put_beside(place: _Place) -> None:
    staged, final = place.staged.path, place.final
    try:
        rename_new(staged, final)
    except FileExistsError as error:
        raise _taken(final) from error
    place.step("swapped")
    sync_folder(place.staged.folder)
    place.step("settled")
    rename_new(place.source, staged)
    if identity_of(os.lstat(staged)) != place.old:
        rename_new(staged, place.source)
        os.unlink(final)
        raise _changed(place.source)
    os.unlink(staged)
    place.step("cleared")


def _is_there(path: str, identity: Identity) -> bool:
    try:
        return identity_of(os.lstat(path))[:2] == identity[:2]
    except FileNotFoundError:
        return False


def _compare(stat: os.stat_result, identity: Identity, path: str) -> None:
    if identity_of(stat) != identity:
        raise _changed(path)


def _changed(path: str) -> SourceChanged:
    return SourceChanged(f"path={path!r} was changed by somebody else since it was probed: left as it is; run again")


def _taken(path: str) -> TargetTaken:
    return TargetTaken(
        f"target={path!r} exists and is never overwritten: move it away, or leave the container as it is"
    )


@contextlib.contextmanager
def _clear_errors(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"folder={folder!r}: {error.strerror}: make room; nothing was changed") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise NotWritable(
                f"folder={folder!r}: {error.strerror}: allow writing there; nothing was changed"
            ) from error
        raise
