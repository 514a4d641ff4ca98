"""What is done for one file, and how a line of the result is written. No command line, no raddle: easy to test."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["digest", "files_below", "line_for", "read_lines", "same_file"]


def files_below(folder: Path) -> Iterator[str]:
    """Yield the path of each regular file, in a stable order. Lazy: raddle asks for the next when it has room."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(folder / entry.name)
        elif entry.is_file(follow_symlinks=False):
            yield entry.path


def same_file(path: str) -> str:
    """Return what resume goes by: a file of another size or time is another item, and is read again."""
    try:
        status = os.stat(path)
    except OSError:  # gone since it was listed: an error here would end the run, in `digest` it fails the item
        return path
    return f"{path}\0{status.st_size}\0{status.st_mtime_ns}"


def digest(path: str) -> str:
    """Return the SHA-256 of a file, in hexadecimal; refuse one that changes meanwhile."""
    with open(path, "rb") as file:
        before = os.stat(file.fileno())
        result = hashlib.file_digest(file, "sha256").hexdigest()
        after = os.stat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise RuntimeError(f"{path}: changed while it was read; try again with --retry-failed")
    return result


def line_for(hexadecimal: str, path: str) -> str:
    """Return a line as `sha256sum` writes it: names with a line break are escaped, and marked in front."""
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == path else "\\"
    return f"{mark}{hexadecimal}  {escaped}\n"


def read_lines(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, SHA-256) of each line that `line_for` wrote."""
    for number, line in enumerate(lines, 1):
        marked, text = line.startswith("\\"), line.removeprefix("\\").removesuffix("\n")
        hexadecimal, space, path = text.partition("  ")
        if len(hexadecimal) != 64 or not space:
            raise ValueError(f"line {number}: not a line of sha256sum: {line!r}")
        yield (_unescaped(path) if marked else path), hexadecimal


def _unescaped(path: str) -> str:
    parts = path.split("\\\\")  # what is left of a backslash after this is an escape
    return "\\".join(part.replace("\\n", "\n").replace("\\r", "\r") for part in parts)
