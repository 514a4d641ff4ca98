"""What the entry point `classify` leads to. Light: every worker process imports this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["workload"]


@dataclass(frozen=True, slots=True)
class Classify:
    """The workload as the command line sees it."""

    name: str = "classify"
    summary: str = "Label a catalogue by text or by picture: offline, or through any OpenAI-compatible endpoint"

    def cli(self) -> typer.Typer:
        """Return the Typer application of `raddle classify`."""
        from raddle.workloads.classify.cli import app

        return app


workload = Classify()
