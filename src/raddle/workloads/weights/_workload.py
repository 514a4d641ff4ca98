"""What the entry point `weights` leads to. Light: every worker process imports this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["workload"]


@dataclass(frozen=True, slots=True)
class Weights:
    """The workload as the command line sees it."""

    name: str = "weights"
    summary: str = "Filter the weight histories of many users in parallel and draw a page for each"

    def cli(self) -> typer.Typer:
        """Return the Typer application of `raddle weights`."""
        from raddle.workloads.weights.cli import app

        return app


workload = Weights()
