"""Which outputs are this run's own: written down before they get their names.

A program that is killed between an output's name and the journal's commit leaves a whole output that the journal does
not know. Outputs never overwrite, so on resume such an item would fail; and to take any file of the right name and size
for it would be a guess (two cameras, one numbering, pictures of one size). So an item notes the inode, size and time of
what it has written just before that gets its name, in a file beside the journal, and on resume a target is taken for
its own if, and only if, it is that very file.

Rejected: a digest of the output, which for an opened file is a digest of the secret; an extended attribute, which
travels with the sealed file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

__all__ = ["Published"]


@dataclass(frozen=True, slots=True)
class Published:
    """The file beside the journal; written by any number of threads and processes, a line at once."""

    path: str

    @classmethod
    def beside(cls, journal: Path, name: str) -> Published:
        """Return that of one run: `name` is its name in the journal."""
        return cls(f"{journal}.{sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}.published")

    def note(self, key: str, descriptor: int, facts: dict[str, Any]) -> None:
        """Write down an output that is complete and has no name yet."""
        row = json.dumps({"key": _short(key), "file": _file(os.fstat(descriptor)), "facts": facts})
        out = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(out, f"\n{row}".encode())  # the break comes first: a line that a power cut tore harms no other
            os.fdatasync(out)
        finally:
            os.close(out)

    def facts(self, key: str, target: str) -> dict[str, Any] | None:
        """Return what was noted if the target is that item's own output, else None."""
        try:
            file, lines = _file(os.lstat(target)), Path(self.path).read_bytes().split(b"\n")
        except OSError:
            return None
        for line in lines:
            try:
                row = json.loads(line)
                if row["key"] == _short(key) and row["file"] == file:
                    return dict(row["facts"])
            except (ValueError, TypeError, KeyError):
                continue  # torn
        return None

    def remove(self) -> None:
        """Forget all: every output is known to the journal."""
        Path(self.path).unlink(missing_ok=True)


def _file(found: os.stat_result) -> list[int]:
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def _short(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:32]
