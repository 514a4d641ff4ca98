"""Options that several commands of `raddle encrypt` have, each said once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from raddle.plugin.command_line import (
    Backend,
    Journal,
    Json,
    Name,
    OnError,
    OnErrorOption,
    Progress,
    ProgressOption,
    Resume,
    RetryFailed,
    Workers,
    option,
    view,
)
from raddle.workloads.encrypt.batch.keyring import LockOptions

if TYPE_CHECKING:
    from raddle.workloads.encrypt.batch.run import BatchOptions

__all__ = [
    "AsksPassphrase",
    "Folder",
    "Identities",
    "Live",
    "LockFlags",
    "Passphrase",
    "Pens",
    "RunFlags",
    "SketchFlags",
    "Theme",
]

_SOURCES: Final = ("prompt", "file:", "fd:", "env:")


class Pens(StrEnum):
    AUTO = "auto"
    ONE = "one"
    ALL = "all"


class Theme(StrEnum):
    DARK = "dark"
    LIGHT = "light"


class Live(StrEnum):
    PAGE = "page"
    WINDOW = "window"


class AsksPassphrase(TyperCommand):
    """Lets `--passphrase` stand alone, for a prompt, before options and files."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write the prompt out; refuse, and do not repeat, what may be a passphrase."""
        given: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            given.append(word)
            if word == "--":
                break
            if word not in {"--passphrase", "-p"} or (rest and rest[0].startswith(_SOURCES)):
                continue
            if rest and not rest[0].startswith("-") and not os.path.lexists(rest[0]):
                ctx.fail("--passphrase takes prompt, file:PATH, fd:NUMBER or env:NAME, never the passphrase itself.")
            given.append("prompt")
        return super().parse_args(ctx, given + rest)


_OUT = option("--output", "-o", text="Folder for the results; made if need be. Nothing in it is overwritten.")
Folder = Annotated[Path, _OUT]
Passphrase = Annotated[
    str | None,
    option(
        *("--passphrase", "-p"),
        text="Where the passphrase comes from: prompt (also if nothing follows), file:PATH, fd:NUMBER, env:NAME.",
        metavar="[SOURCE]",
    ),
]
Identities = Annotated[
    list[Path] | None,
    option("--identity", "-i", text="Identity file; --passphrase unlocks one that is sealed, else a prompt."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockFlags:
    """To whom files are sealed, and how."""

    recipient: Annotated[list[str] | None, option("--recipient", "-r", text="Seal to this recipient, age1...")] = None
    recipients_file: Annotated[
        list[Path] | None, option("--recipients-file", "-R", text="Seal to the recipients of this file, one a line.")
    ] = None
    passphrase: Passphrase = None
    standalone: Annotated[
        bool,
        option(
            "--standalone", text="Seal each file with the passphrase itself: a second and 256 MiB each, no key file."
        ),
    ] = False
    armor: Annotated[bool, option("--armor", "-a", text="As ASCII text, a third larger.")] = False

    @property
    def lock(self) -> LockOptions:
        """To whom, not yet checked."""
        return LockOptions(
            recipients=self.recipient or (),
            recipients_files=self.recipients_file or (),
            passphrase=self.passphrase,
            standalone=self.standalone,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """Which files, and how a run goes over them and is told."""

    recursive: Annotated[bool, option("--recursive", text="Take folders, with all below them, as cp -r does.")] = False
    backend: Annotated[Backend, typer.Option(help="Where files are worked on.")] = Backend.AUTO
    workers: Workers = 0
    timeout: Annotated[float | None, option("--timeout", text="Seconds for one file.")] = None
    on_error: OnErrorOption = OnError.SKIP
    memory: Annotated[str, typer.Option(metavar="SIZE", help="What may be in use before files are held back.")] = "auto"
    journal: Journal = None
    name: Name = None
    resume: Resume = False
    retry_failed: RetryFailed = False
    progress: ProgressOption = Progress.AUTO
    as_json: Json = False

    @property
    def own(self) -> list[Path]:
        """Files that the run itself writes beside the results."""
        return [] if self.journal is None else [self.journal]

    def run(self, name: str) -> BatchOptions:
        """Return the options of the run; `name` if it was given no other."""
        from raddle.workloads.encrypt.batch.run import BatchOptions

        return BatchOptions(
            name=self.name or name,
            backend=self.backend.value,
            workers=self.workers,
            timeout=self.timeout,
            on_error=self.on_error.value,
            journal=self.journal,
            resume="failed" if self.retry_failed else self.resume,
            progress=view(self.progress, elsewhere=None),
            memory=None if self.memory == "none" else self.memory,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchFlags(RunFlags):
    """The same for pictures, of which some take for ever."""

    timeout: Annotated[float | None, typer.Option(help="Seconds for one picture; not with --backend serial.")] = 60.0
