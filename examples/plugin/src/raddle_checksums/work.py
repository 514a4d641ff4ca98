"""What is done for one file, and how a line of the result is written. No command line, no raddle: easy to test."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["digest", "files_below", "line_for", "read_lines", "same_file"]


def files_below(folder: Path) -> Iterator[Path]:
    """Yield each regular file, in a stable order. Lazy: raddle asks for the next one when it has room for it."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from files_below(path)
        elif path.is_file():
            yield path


def same_file(path: Path) -> str:
    """Return what resume goes by: a file of another size or time is another item, and is read again."""
    try:
        status = path.stat()
    except OSError:  # gone since it was listed: an error here would end the run, in `digest` it fails the item
        return str(path)
    return f"{path}\0{status.st_size}\0{status.st_mtime_ns}"


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; refuse one that changes meanwhile."""
    before = path.stat()
    with path.open("rb") as file:
        result = hashlib.file_digest(file, "sha256").hexdigest()
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise RuntimeError(f"{path} changed while it was read: run again with --resume")
    return result


def line_for(hexadecimal: str, path: Path) -> str:
    """Return a line as `sha256sum` writes it: names with a line break are escaped, and marked in front."""
    name = os.fspath(path)
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == name else "\\"
    return f"{mark}{hexadecimal}  {escaped}\n"


def read_lines(lines: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield (path, SHA-256) of each line that `line_for` wrote."""
    width = hashlib.sha256().digest_size * 2
    for number, line in enumerate(lines, 1):
        marked, text = line.startswith("\\"), line.removeprefix("\\").removesuffix("\n")
        hexadecimal, space, name = text.partition("  ")
        if len(hexadecimal) != width or not space:
            raise ValueError(f"line {number}: not a line of sha256sum: {line[:80]!r}")
        yield Path(_unescaped(name) if marked else name), hexadecimal


def _unescaped(name: str) -> str:
    parts = name.split("\\\\")  # two backslashes were one; any that is left begins an escape
    return "\\".join(part.replace("\\n", "\n").replace("\\r", "\r") for part in parts)
