"""What the user asked for, parsed once into frozen values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from raddle import errors
from raddle.plugin.settings import no_such
from raddle.workloads.weights.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Columns", "ReadOptions", "RunOptions", "no_such", "parse_columns", "parse_where"]

TimeUnit = Literal["iso", "days"]


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns; None: the default name, if the file has it."""

    user: str | None = None
    time: str | None = None
    weight: str | None = None
    unit: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How the files are to be read, and which rows are wanted."""

    columns: Columns = Columns()
    time_unit: TimeUnit = "iso"
    #: rows must have one of these values in each of these columns
    where: tuple[tuple[str, frozenset[str]], ...] = ()
    #: name of a preset (`ingest.presets`), "auto": by what the file looks like
    preset: str = "auto"
    #: the user of files that name none, such as a person's own export; None: the file's name
    user: str | None = None
    #: the unit where no column or header says it; None: that of the preset, or kg
    unit: str | None = None
    #: how dates of three numbers are meant: "ymd", "mdy", "dmy"; None: the file must show it
    date_order: Literal["ymd", "mdy", "dmy"] | None = None
    #: "compat" keeps units that it does not know (as kg); the range check comes before the conversion
    rules: Literal["compat", "v2"] = "v2"
    #: day (`2025-01-31`) or instant, inclusive; with time_unit "days" a number
    since: str | None = None
    until: str | None = None
    #: users with fewer usable rows (in the date range) are left out
    min_readings: int = 1
    #: of the users left, in order of id: leave out so many, then take so many (0: all)
    user_offset: int = 0
    max_users: int = 0
    #: a file with an id per line, `#` comments; replaces min_readings, user_offset and max_users
    users_file: Path | None = None
    #: CSV: user_id, value_quantity, unit
    heights: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the options in words that summary.json can hold."""
        said = asdict(self)
        said["where"] = {column: sorted(values) for column, values in self.where}
        return {name: str(value) if isinstance(value, PurePath) else value for name, value in said.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How the run is to be done."""

    out: Path
    read: ReadOptions = ReadOptions()
    #: name of a shipped profile, or a TOML file
    profile: str = "balanced"
    #: SQLite file that goes on from file to file; None: one of its own in `out`
    state: Path | None = None
    #: a row per reading in the state, for SQL
    store_readings: bool = False
    #: look again at what was decided, with hindsight
    retro: bool = False
    config: Config = field(default_factory=Config)
    backend: Literal["auto", "serial", "threads", "processes"] = "auto"
    #: 0: what the configuration says, or as many as the CPUs granted
    workers: int = 0
    journal: Path | None = None
    name: str = "weights"
    resume: bool = False
    pages: bool = True
    #: seconds for one page; None: what the configuration says
    timeout: float | None = None
    progress: Literal["line", "live"] | None = None
    #: also results.json, in the shape of the original
    json_results: bool = False


def parse_columns(texts: Sequence[str]) -> Columns:
    """Read `user=subjid,time=agedays`; may be given several times.

    Raises:
        ConfigError: not NAME=COLUMN, or no such name
    """
    known = [field.name for field in fields(Columns)]
    found: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, sign, column = (piece.strip() for piece in part.partition("="))
        if not sign or not column:
            raise errors.ConfigError(f"columns={part!r}: write user=NAME,time=NAME,weight=NAME")
        if name not in known:
            raise errors.ConfigError(f"columns={part!r}: {no_such(name, known)}")
        found[name] = column
    return Columns(**found)


def parse_where(texts: Sequence[str]) -> tuple[tuple[str, frozenset[str]], ...]:
    """Read `param=WEIGHTKG`. Several columns must all match; several values of one column are alternatives.

    Raises:
        ConfigError: not COLUMN=VALUE
    """
    found: dict[str, set[str]] = {}
    for text in texts:
        column, sign, value = text.partition("=")
        if not sign or not column.strip():
            raise errors.ConfigError(f"where={text!r}: write COLUMN=VALUE, for instance param=WEIGHTKG")
        found.setdefault(column.strip(), set()).add(value.strip())
    return tuple((column, frozenset(values)) for column, values in sorted(found.items()))
