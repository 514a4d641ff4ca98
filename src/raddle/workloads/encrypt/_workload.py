"""What the entry point `encrypt` leads to. Light: every worker process imports this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["workload"]


@dataclass(frozen=True, slots=True)
class Encrypt:
    """The workload as the command line sees it."""

    name: str = "encrypt"
    summary: str = "Seal any files and open them again bit for bit; sketch pictures as Fourier drawings"

    def cli(self) -> typer.Typer:
        """Return the Typer application of `raddle encrypt`."""
        from raddle.workloads.encrypt.cli import app

        return app


workload = Encrypt()
