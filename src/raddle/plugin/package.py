"""The object behind an entry point, a package that imports what is asked for, and what there is to run with."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from raddle import _host
from raddle._lazy import exports
from raddle.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    import typer

__all__ = ["Workload", "exports", "granted_cpus", "needed"]


@dataclass(frozen=True, slots=True)
class Workload:
    """What an entry point of the group `raddle.workloads` leads to.

    Args:
        name: of the command, `raddle NAME`
        summary: what it is for, in one line
        app: where its Typer application is, as "package.module:name"; imported when the command is used
    """

    name: str
    summary: str
    app: str

    def cli(self) -> typer.Typer:
        """Return the application."""
        module, _, name = self.app.partition(":")
        app: typer.Typer = getattr(import_module(module), name)
        return app


def needed(extra: str, *libraries: str | tuple[str, str], find: Callable[[str], object | None] = find_spec) -> None:
    """Look for libraries without importing them.

    Args:
        extra: of raddle, that brings them
        libraries: each by its module, or (module, library) where the library has another name
        find: returns None for a module that is not there

    Raises:
        MissingExtra: one is not installed
    """
    for each in libraries:
        module, library = (each, each) if isinstance(each, str) else each
        if find(module) is None:
            raise MissingExtra(library, extra)


def granted_cpus() -> int:
    """Return how many CPUs this process may use at once: after affinity and the quota of every cgroup above it."""
    return _host.cpus().value
