"""Options that several commands of `raddle encrypt` have, each said once."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

__all__ = [
    "Armor",
    "AsksPassphrase",
    "Backend",
    "BackendOption",
    "Folder",
    "Identities",
    "Journal",
    "Json",
    "Live",
    "Memory",
    "Name",
    "OnError",
    "OnErrorOption",
    "Passphrase",
    "Pens",
    "Progress",
    "ProgressOption",
    "RecipientFiles",
    "Recipients",
    "Recursive",
    "Resume",
    "RetryFailed",
    "Standalone",
    "Theme",
    "Timeout",
    "Workers",
    "option",
]

_SOURCES: Final = ("prompt", "file:", "fd:", "env:")


class Backend(StrEnum):
    AUTO = "auto"
    SERIAL = "serial"
    THREADS = "threads"
    PROCESSES = "processes"


class OnError(StrEnum):
    SKIP = "skip"
    FAIL = "fail"


class Progress(StrEnum):
    AUTO = "auto"
    LIVE = "live"
    LINE = "line"
    NONE = "none"


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


def option(*names: str, text: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, show_default=False, **more)


_OUT = option("--output", "-o", text="Folder for the results; made if need be. Nothing in it is overwritten.")
Folder = Annotated[Path, _OUT]
Recipients = Annotated[list[str] | None, option("--recipient", "-r", text="Seal to this recipient, age1...")]
RecipientFiles = Annotated[
    list[Path] | None, option("--recipients-file", "-R", text="Seal to the recipients of this file, one a line.")
]
Passphrase = Annotated[
    str | None,
    option(
        *("--passphrase", "-p"),
        text="Where the passphrase comes from: prompt (also if nothing follows), file:PATH, fd:NUMBER, env:NAME.",
        metavar="[SOURCE]",
    ),
]
Standalone = Annotated[
    bool,
    option("--standalone", text="Seal each file with the passphrase itself: a second and 256 MiB each, no key file."),
]
Armor = Annotated[bool, option("--armor", "-a", text="As ASCII text, a third larger.")]
Identities = Annotated[
    list[Path] | None,
    option("--identity", "-i", text="Identity file; --passphrase unlocks one that is sealed, else a prompt."),
]
Recursive = Annotated[bool, option("--recursive", text="Take folders, with all below them, as cp -r does.")]
BackendOption = Annotated[Backend, typer.Option(help="Where files are worked on.")]
Workers = Annotated[int, typer.Option(min=0, help="0: as many as are of use.")]
Timeout = Annotated[float | None, option("--timeout", text="Seconds for one file.")]
OnErrorOption = Annotated[OnError, typer.Option(help="fail: start nothing more after the first file that fails.")]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="What may be in use before files are held back.")]
Journal = Annotated[Path | None, option("--journal", text="File that remembers each outcome.")]
Name = Annotated[str | None, option("--name", text="Name of the run in the journal.")]
Resume = Annotated[bool, option("--resume", text="Do only what the journal does not have, by content.")]
RetryFailed = Annotated[bool, option("--retry-failed", text="As --resume, and do again what did not end ok.")]
ProgressOption = Annotated[Progress, typer.Option(help="On standard error.")]
Json = Annotated[bool, option("--json", text="One JSON line for each file on standard output.")]
