"""From what the user names to jobs: one for each file, none that would meet another, and nothing started yet.

A folder goes as with `cp -r`: `photos` becomes `DIR/photos/...`, of `photos/.` only the content goes. Everything in it
counts, hidden files too, but for the output folder, if it lies within; symbolic links in it and what is no regular file
are left out and told. A link that is named itself is followed.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from raddle.errors import ConfigError
from raddle.workloads.encrypt.batch_key import IDENTITY_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["Job", "Kind", "Plan", "content_id", "folders_above", "make_folders", "plan"]

Kind = Literal["seal", "open", "sketch"]

#: what is taken from a folder; a picture that is named itself may be called anything
_PICTURES: Final = frozenset(
    {
        *(".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm"),
        *(".png", ".pnm", ".ppm", ".sgi", ".tga", ".tif", ".tiff", ".webp"),
    }
)
_SEALED: Final = ".age"
#: what a journal has beside it, see docs/reference/journal.md and `published`
_OWN: Final = re.compile(r"|-wal|-shm|-journal|\.lock|\.values/.*|\.[0-9a-f]{8}\.published", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Job:
    """One file and what becomes of it."""

    kind: Kind
    source: str
    target: str
    #: of the target, below the output folder
    name: str
    #: options that change the output, as text
    how: str = ""
    #: see `content_id`; empty without a journal
    content: bytes = b""

    def __repr__(self) -> str:
        """Return what views of progress show."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done."""

    jobs: list[Job]
    #: path and reason of what was found and is not done
    left_out: list[tuple[str, str]]


def plan(
    kind: Kind,
    files: Sequence[str],
    out: Path,
    *,
    suffix: str = "",
    recursive: bool = False,
    own: Iterable[Path] = (),
) -> Plan:
    """Name every output.

    Args:
        kind: what will be done
        files: files, and folders if `recursive`
        out: folder of the outputs; it need not exist
        suffix: what a name gets; when opening it loses `.age` instead
        recursive: take folders, with all below them
        own: files of this very run, never its input: its journal

    Raises:
        ConfigError: a file is missing or is none, or two would become one; both are named
    """
    mine = {os.path.realpath(path) for path in own}
    left_out: list[tuple[str, str]] = []
    jobs: dict[str, Job] = {}
    for source, name in _found(kind, files, out, left_out, recursive=recursive):
        if _is_own(source, mine):
            left_out.append((source, "it belongs to the journal of this run"))
            continue
        if kind == "open" and Path(source).name == IDENTITY_FILE:
            left_out.append((source, "it is the key of its folder, and stays sealed"))
            continue
        named = name.removesuffix(_SEALED) or name if kind == "open" else name + suffix
        job = Job(kind, source, str(out / named), named)
        _refuse_twins(jobs.get(named), job)
        jobs[named] = job
    _refuse_folders(jobs)
    if not jobs:
        raise ConfigError(f"FILES={' '.join(files)}: nothing in them to {kind}")
    return Plan(list(jobs.values()), left_out)


def content_id(job: Job) -> bytes:
    """What resume knows a job by: the digest of the source's content, the output's name, and what is done.

    Never raises: a source that cannot be read gets an id of its own, and its item says why.
    """
    try:
        if not stat.S_ISREG(os.stat(job.source).st_mode):  # noqa: PTH116 - a plain text
            return _id(job, b"not a file")
        with open(job.source, "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return _id(job, file_digest(file, sha256).digest())
    except OSError:
        return _id(job, b"unreadable")


def make_folders(jobs: Iterable[Job], out: Path) -> None:
    """Make the folders of all outputs, on the disk: what is in them is to survive a power cut.

    Raises:
        ConfigError: one cannot be made
    """
    try:
        for folder in sorted({out, *(Path(job.target).parent for job in jobs)}):
            _make(folder)
    except OSError as error:
        raise ConfigError(f"output={str(out)!r}: cannot write there: {error.strerror or error}") from error


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    handle = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _id(job: Job, content: bytes) -> bytes:
    digest = sha256()
    for part in (job.kind.encode(), os.fsencode(job.name), job.how.encode(), content):
        digest.update(b"%d:%b" % (len(part), part))
    return digest.digest()


def _found(
    kind: Kind, files: Sequence[str], out: Path, left_out: list[tuple[str, str]], *, recursive: bool
) -> Iterator[tuple[str, str]]:
    """Yield source and name below the output folder."""
    for given in files:
        try:
            mode = os.stat(given).st_mode  # noqa: PTH116 - names as they were given
        except (OSError, ValueError) as error:
            raise ConfigError(f"FILE={given!r}: {getattr(error, 'strerror', None) or error}") from error
        if stat.S_ISDIR(mode):
            if not recursive:
                raise ConfigError(f"FILE={given!r} is a folder: give --recursive to take all files in it")
            yield from _walk(given, out, _wanted(kind), left_out)
        elif stat.S_ISREG(mode):
            yield given, Path(given).name
        else:
            raise ConfigError(f"FILE={given!r} is no regular file: write its content to a file first")


def _wanted(kind: Kind) -> Callable[[str], bool]:
    if kind == "open":
        return lambda name: name.endswith(_SEALED)
    if kind == "sketch":
        return lambda name: Path(name).suffix.lower() in _PICTURES
    return lambda _: True


def _walk(
    top: str, out: Path, wanted: Callable[[str], bool], left_out: list[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    base = Path(os.path.normpath(top)).name
    base = "" if base in {".", ".."} or top.endswith("/.") else base
    outside = os.path.realpath(out)
    others = 0

    def unreadable(error: OSError) -> None:
        raise ConfigError(f"folder={error.filename!r} cannot be read: {error.strerror}") from error

    for here, folders, names in os.walk(top, onerror=unreadable):
        left_out += [(path, "a link to a folder") for path in _paths(here, folders) if os.path.islink(path)]  # noqa: PTH114
        folders[:] = sorted(
            name for name, path in zip(folders, _paths(here, folders), strict=True) if os.path.realpath(path) != outside
        )
        for name in sorted(names):
            path = os.path.join(here, name)  # noqa: PTH118 - bytes of names as they are
            if not wanted(name):
                others += 1
            elif not stat.S_ISREG(os.lstat(path).st_mode):
                left_out.append((path, "no regular file; name a link itself to have it followed"))
            else:
                yield path, os.path.join(base, os.path.relpath(path, top))  # noqa: PTH118
    if others:
        left_out.append((top, f"{others:,} files in it have other endings; name them to have them taken"))


def _paths(here: str, names: Iterable[str]) -> list[str]:
    return [os.path.join(here, name) for name in names]  # noqa: PTH118


def _is_own(source: str, own: set[str]) -> bool:
    # reading the journal here would drop SQLite's locks when it is closed again
    real = os.path.realpath(source)
    return any(real.startswith(path) and _OWN.fullmatch(real[len(path) :]) for path in own)


def _refuse_twins(first: Job | None, job: Job) -> None:
    if job.kind == "seal" and Path(job.name).name == IDENTITY_FILE:
        raise ConfigError(f"FILE={job.source!r} would become {job.name!r}, the name of a folder's key: rename it")
    if first is None:
        return
    if os.path.realpath(first.source) == os.path.realpath(job.source):
        raise ConfigError(f"FILE={job.source!r} is given twice: give it once")
    raise ConfigError(
        f"FILE={first.source!r} and FILE={job.source!r} would both become {job.target!r}: give them other output "
        "folders, or a folder of both with --recursive"
    )


def _refuse_folders(jobs: dict[str, Job]) -> None:
    for job in jobs.values():
        for parent in Path(job.name).parents:
            if (other := jobs.get(str(parent))) is not None:
                raise ConfigError(
                    f"FILE={other.source!r} would become {other.target!r}, which {job.source!r} needs as a folder: "
                    "give them other output folders"
                )


def folders_above(paths: Iterable[str]) -> list[str]:
    """Return the folders of files and those above them, nearest first."""
    found: dict[str, None] = {}
    for path in paths:
        here = Path(os.path.realpath(path)).parent
        found |= dict.fromkeys(map(str, (here, *here.parents)))
    return sorted(found, key=len, reverse=True)
