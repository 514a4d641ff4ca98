"""Files that are whole or absent, and names that are safe everywhere."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["page_name", "plotly_js", "remove_leftovers", "replaced", "write_whole"]

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
#: what `replaced` gives, and what SQLite keeps beside it while it writes there
_SPARE = re.compile(r"\..+\.\d+-\d+\.tmp(?:-journal|-wal|-shm)?", re.DOTALL)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)")  # not usable as file names on Windows


def page_name(user: str) -> str:
    """Return the file name of a user's page: no separators, no case, and different for different users.

    A plain lower-case id is kept; any other gets a readable stem and a digest, joined by `~`, which no plain id has.
    """
    if _PLAIN.fullmatch(user) and not _RESERVED.fullmatch(user):
        return f"{user}.html"
    stem = re.sub(r"[^a-z0-9]+", "-", user.lower())[:40].strip("-") or "user"
    return f"{stem}~{hashlib.blake2b(user.encode(), digest_size=8).hexdigest()}.html"


@contextmanager
def replaced(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Give a path to write to, and put it in the place of `path` when all went well; else remove it."""
    spare = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield spare
        if sync:
            with spare.open("rb") as file:
                os.fsync(file.fileno())
        spare.replace(path)
    finally:
        spare.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file that is never seen half-written."""
    with replaced(path, sync=sync) as spare:
        spare.write_bytes(content)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run left half-written, and no file of anybody else."""
    for path in folder.glob(".*.tmp*"):
        if _SPARE.fullmatch(path.name):
            path.unlink(missing_ok=True)


def plotly_js() -> Path | None:
    """Return where the plotly package keeps plotly.min.js, without importing it; None if it is not installed."""
    from importlib.util import find_spec

    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return path if path.exists() else None
