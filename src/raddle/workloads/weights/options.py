"""What the user asked for, parsed once into frozen values."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from raddle import errors

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


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How the file is to be read."""

    columns: Columns = Columns()
    time_unit: TimeUnit = "iso"
    #: rows must have one of these values in each of these columns
    where: tuple[tuple[str, frozenset[str]], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the options in words that summary.json can hold."""
        where = {column: sorted(values) for column, values in self.where}
        return {"columns": asdict(self.columns), "time_unit": self.time_unit, "where": where}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How the run is to be done."""

    out: Path
    read: ReadOptions = ReadOptions()
    backend: Literal["auto", "serial", "threads", "processes"] = "auto"
    workers: int = 0
    journal: Path | None = None
    name: str = "weights"
    resume: bool = False
    pages: bool = True
    timeout: float | None = None
    progress: Literal["line", "live"] | None = None


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


def no_such(name: str, known: Sequence[str]) -> str:
    """Say that a name is unknown, which exist, and which may have been meant."""
    near = difflib.get_close_matches(name.lower(), [item.lower() for item in known], n=1, cutoff=0.5)
    meant = next((item for item in known if near and item.lower() == near[0]), None)
    hint = f"; did you mean {meant!r}?" if meant else ""
    return f"there is no {name!r} among {', '.join(map(repr, known))}{hint}"
