"""Options that several commands of `raddle media` have, each said once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from raddle.plugin.command_line import OnError, option

__all__ = [
    "Config",
    "Level",
    "LevelOption",
    "OnErrorOption",
    "Paths",
    "Progress",
    "ProgressOption",
    "Recursive",
    "State",
    "Workers",
]


class Progress(StrEnum):
    AUTO = "auto"
    LIVE = "live"
    LINE = "line"
    COMPACT = "compact"
    NONE = "none"


class Level(StrEnum):
    PACKETS = "packets"
    DECODE = "decode"


Paths = Annotated[
    list[str], typer.Argument(metavar="PATHS...", show_default=False, help="Files, and folders with files.")
]
Recursive = Annotated[bool, option("--recursive", "-R", text="Folders with all that is below them.")]
Config = Annotated[
    Path | None, option("--config", text="TOML file with the tables [media] and [processing]; flags beat it.")
]
State = Annotated[
    Path | None,
    option(
        "--state",
        text="Folder of totals, locks and what --resume knows; "
        "default: [media] state, else $XDG_STATE_HOME/raddle/media.",
    ),
]
Workers = Annotated[
    int | None,
    option("--workers", "-w", text="Files under way at once; default: [processing] workers, else the CPUs."),
]
OnErrorOption = Annotated[
    OnError | None,
    option("--on-error", text="After a file that failed: skip goes on, fail begins no more. Beats the policy."),
]
ProgressOption = Annotated[
    Progress | None,
    option(
        "--progress",
        text="On standard error: line (on a terminal in place; the default), compact, live (with the percent of each "
        "encode), none.",
    ),
]
LevelOption = Annotated[
    Level, typer.Option("--level", help="packets: all packets are read; decode: every frame is decoded too.")
]
