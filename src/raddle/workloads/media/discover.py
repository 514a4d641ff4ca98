"""Which files are meant: those that were named, and those of folders that look like video, each file once.

Lazily: the first file is given before the last folder is read.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from raddle.workloads.media.replace.names import is_ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SUFFIXES", "Found", "discover"]

#: of files that are taken from folders
SUFFIXES: Final = frozenset(
    (
        *(".mkv", ".mk3d", ".webm", ".mp4", ".m4v", ".mov", ".qt", ".avi", ".divx", ".wmv", ".asf", ".ts", ".m2ts"),
        *(".mts", ".m2t", ".mpg", ".mpeg", ".m2v", ".vob", ".flv", ".f4v", ".ogv", ".ogm", ".3gp", ".3g2", ".rm"),
        *(".rmvb", ".mxf", ".wtv", ".nut"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One file to work on, or one thing that cannot be and why."""

    #: as given, or as the folder lists it (surrogateescape for names that are not UTF-8)
    path: str
    #: device and inode of the file itself, behind all links; None with a problem
    key: tuple[int, int] | None = None
    #: where `path` leads when it is, or goes through, a symbolic link; else ""
    leads_to: str = ""
    #: why there is no file to work on; else ""
    problem: str = ""
    #: a path given before that is the same file: it is worked on under that name
    same_as: str = ""

    @property
    def usable(self) -> bool:
        """Whether this is a file to work on."""
        return not self.problem and not self.same_as


@dataclass(slots=True)
class _Walk:
    """What has been seen so far."""

    files: dict[tuple[int, int], str]
    folders: set[tuple[int, int]]


def discover(paths: Iterable[str | bytes | os.PathLike[str]], *, recursive: bool = False) -> Iterator[Found]:
    """Give the files that are meant, in the order of `paths`, and of folders in the order of their names.

    A file that is named is taken whatever its suffix. From a folder those with a suffix of `SUFFIXES`, in any case;
    subfolders with `recursive`, through symbolic links too, each folder once. Files and folders of our own making
    are left out; named, they are told as a problem. What is reached twice, by links or otherwise, comes again with
    `same_as`.
    """
    seen = _Walk({}, set())
    for given in paths:
        path = os.fsdecode(given)
        try:
            facts = os.stat(path)  # noqa: PTH116 - names that are not UTF-8 stay text here
        except (OSError, ValueError) as error:
            yield Found(path=path, problem=_why(path, error))
            continue
        if _inside_ours(path):
            yield Found(path=path, problem="is a temporary file of raddle, or in its trash: name the file itself")
        elif stat.S_ISDIR(facts.st_mode):
            yield from _folder(path, (facts.st_dev, facts.st_ino), seen, recursive=recursive)
        else:
            yield _file(path, facts, seen)


def _inside_ours(path: str) -> bool:
    return any(is_ours(part) for part in PurePath(path).parts)


def _file(path: str, facts: os.stat_result, seen: _Walk) -> Found:
    if not stat.S_ISREG(facts.st_mode):
        return Found(path=path, problem="is no regular file but a device, socket or pipe")
    key = (facts.st_dev, facts.st_ino)
    before = seen.files.get(key, "")
    seen.files.setdefault(key, path)
    real = os.path.realpath(path)
    linked = real != os.path.abspath(path)  # noqa: PTH100 - `Path.absolute` leaves ".." in
    return Found(path=path, key=key, leads_to=real if linked else "", same_as=before)


def _folder(path: str, key: tuple[int, int], seen: _Walk, *, recursive: bool) -> Iterator[Found]:
    """Walk with a stack of our own: a tree may be deeper than Python's."""
    waiting = [(path, key)]
    while waiting:
        folder, key = waiting.pop()
        if key in seen.folders:  # a circle of links, or named twice
            continue
        seen.folders.add(key)
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield Found(path=folder, problem=_why(folder, error))
            continue
        below: list[tuple[str, tuple[int, int]]] = []
        for entry in listed:
            yield from _entry(entry, seen, below if recursive else None)
        waiting.extend(reversed(below))


def _entry(entry: os.DirEntry[str], seen: _Walk, below: list[tuple[str, tuple[int, int]]] | None) -> Iterator[Found]:
    looks = os.path.splitext(entry.name)[1].lower() in SUFFIXES  # noqa: PTH122 - text, as everything here
    if is_ours(entry.name):
        return
    try:
        if not (looks or entry.is_dir()):
            return
        facts = entry.stat()
    except OSError as error:  # a link to nowhere, or in a circle
        if looks:
            yield Found(path=entry.path, problem=_why(entry.path, error))
        return
    if stat.S_ISDIR(facts.st_mode):
        if below is not None:
            below.append((entry.path, (facts.st_dev, facts.st_ino)))
    elif looks:
        yield _file(entry.path, facts, seen)


def _why(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is a symbolic link that leads nowhere" if os.path.islink(path) else "is not there"  # noqa: PTH114 - text
    if isinstance(error, PermissionError):
        return "may not be read by this user"
    return f"cannot be looked at: {getattr(error, 'strerror', None) or error}"
