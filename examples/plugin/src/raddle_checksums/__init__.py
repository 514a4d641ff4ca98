"""SHA-256 of all files of a folder: a workload for raddle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["workload"]


@dataclass(frozen=True, slots=True)
class Checksums:
    """What `raddle` wants to know of a workload."""

    name: str = "checksums"
    summary: str = "SHA-256 of all files of a folder, in parallel, with resume"

    def cli(self) -> typer.Typer:
        """Return the application of `raddle checksums`; imported here, so that `raddle --help` stays quick."""
        from raddle_checksums.cli import app

        return app


workload = Checksums()
