"""What the entry point `media` leads to. Light: importing it loads neither PyAV nor YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["workload"]


@dataclass(frozen=True, slots=True)
class Media:
    """The workload as the command line sees it."""

    name: str = "media"
    summary: str = "Bring video files to what a policy says, in parallel, and never lose a stream"

    def cli(self) -> typer.Typer:
        """Return the Typer application of `raddle media`."""
        from raddle.workloads.media.cli import app

        return app


workload = Media()
