"""The options of `raddle weights run` as Typer reads them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from raddle.plugin.command_line import Backend, option


class TimeUnitName(StrEnum):
    ISO = "iso"
    DAYS = "days"


class RulesName(StrEnum):
    V2 = "v2"
    COMPAT = "compat"


class DateOrderName(StrEnum):
    YMD = "ymd"
    MDY = "mdy"
    DMY = "dmy"


class FormatName(StrEnum):
    PDF = "pdf"
    PNG = "png"


Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="CSV with a header (plain or gzipped), Parquet, or the export of an app; - is standard input.",
        show_default=False,
    ),
]
Out = Annotated[Path, option("--output", "-o", text="Folder for the results.")]
Columns = Annotated[
    list[str] | None,
    option(
        text="Which column is what: user=NAME,time=NAME,weight=NAME,unit=NAME,source=NAME. Default: user_id, "
        "effectiveDateTime, weight, unit, source_type."
    ),
]
Preset = Annotated[
    str, typer.Option(help="What the file is: raddle, fitbit, withings, apple, garmin; auto looks at it.")
]
User = Annotated[str | None, option(text="Whose a file is that names nobody; default: the file's name.")]
Unit = Annotated[str | None, option(text="Unit of weights where the file does not say it; default: kg.")]
DateOrder = Annotated[
    DateOrderName | None,
    option(text="How dates like 03/04/2025 are meant; needed only where the file does not show it."),
]
TimeUnit = Annotated[
    TimeUnitName,
    typer.Option(help="iso: dates and times, UTC unless they say otherwise; days: days since birth or start."),
]
Where = Annotated[
    list[str] | None,
    option(
        metavar="COLUMN=VALUE",
        text="Use only such rows; several columns must all match, several values of one column are alternatives.",
    ),
]
Since = Annotated[str | None, option(metavar="DAY", text="Only rows from then on, inclusive.")]
Until = Annotated[str | None, option(metavar="DAY", text="Only rows up to then, inclusive.")]
MinReadings = Annotated[int, typer.Option(min=1, help="Leave out users with fewer usable rows.")]
UserOffset = Annotated[int, typer.Option(min=0, help="Leave out so many users, in order of id.")]
MaxUsers = Annotated[int, typer.Option(min=0, help="Then take so many; 0: all.")]
Users = Annotated[Path | None, option(text="Only the users of this file: an id per line, # comments.")]
Heights = Annotated[Path | None, option(text="CSV of heights: user_id, value_quantity, unit.")]
Rules = Annotated[RulesName, typer.Option(help="v2, or compat: those of the original, with all their oddities.")]
Profile = Annotated[str, typer.Option(help="How strict: a name that `raddle weights profiles` lists, or a TOML file.")]
Retro = Annotated[
    bool, typer.Option("--retro", help="Look again with hindsight; what that changes is listed as revisions.")
]
State = Annotated[
    Path | None,
    option(
        text="SQLite file to go on from and to; a file it has had before changes nothing. Default: a new one in "
        "the output folder."
    ),
]
StoreReadings = Annotated[bool, typer.Option("--store-readings", help="Keep a row per reading in the state, for SQL.")]
Config = Annotated[Path | None, option(text="TOML file with [threading], [visualization.threading] and [retro].")]
BackendOption = Annotated[Backend, typer.Option(help="Where users are processed.")]
Workers = Annotated[int, typer.Option(min=0, help="0: what --config says, or as many as the CPUs granted.")]
Journal = Annotated[Path | None, option(text="File that remembers each chunk of users.")]
Name = Annotated[str, typer.Option(help="Name of the run in the journal.")]
NoPages = Annotated[bool, typer.Option("--no-pages", help="Write no HTML.")]
Timeout = Annotated[float | None, option(text="Seconds for one page; default: what --config says, or 30.")]
JsonResults = Annotated[bool, typer.Option("--json-results", help="Also results.json, in the shape of the original.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print summary.json instead of a few lines.")]
