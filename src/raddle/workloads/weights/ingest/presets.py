"""Which export is it? Recognised by the beginning of a file, or said with `preset`."""

from __future__ import annotations

import csv
import io
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from raddle import errors
from raddle.workloads.weights.ingest import apple, fitbit, garmin, times
from raddle.workloads.weights.ingest.blocks import Dialect
from raddle.workloads.weights.ingest.exports import Reader, owner
from raddle.workloads.weights.options import Columns, no_such

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.workloads.weights.options import ReadOptions

__all__ = ["PRESETS", "Preset", "recognise"]

Preset = Dialect | Reader

_MISSING: Final = frozenset({"", "null", "na", "n/a", "none"})
_USER: Final = "user_id"
_TIME: Final = "effectiveDateTime"
# Header of a real export, quoted in many public importers. The unit is the account's.
_WITHINGS: Final = re.compile(r"weight \((kg|lb|lbs|st)\)", re.IGNORECASE)
#: bytes; text in UTF-16 has a zero in every other one
_ENOUGH: Final = 16
_DELIMITERS: Final = ",;\t|"


def recognise(path: Path | str, head: bytes, options: ReadOptions) -> Preset | None:
    """Say how to read a file that begins with `head` (64 kB are enough; unzipped). None: Parquet, or UTF-16.

    Raises:
        ConfigError: no such preset; the file is not of that preset; dates whose order nobody can know
    """
    if options.preset not in {"auto", *PRESETS}:
        raise errors.ConfigError(f"preset={options.preset}: {no_such(options.preset, ['auto', *PRESETS])}")
    if head.startswith(b"PK\x03\x04"):
        raise errors.ConfigError(
            f"{path} is a zip archive: unpack it, and give the file with the weights that is in it"
        )
    if head.startswith((b"PAR1", b"\xff\xfe", b"\xfe\xff")):
        return None
    if len(head) >= _ENOUGH and not (any(head[:_ENOUGH:2]) and any(head[1:_ENOUGH:2])):
        raise errors.ConfigError(f"{path} is UTF-16: save it as UTF-8, for instance with `iconv -f UTF-16LE`")
    text = head.decode("utf-8-sig", errors="replace")
    if options.preset != "auto":
        found = PRESETS[options.preset](Path(path), text, options)
        if found is None:
            raise errors.ConfigError(
                f"preset={options.preset}: {path} does not look like {_KINDS[options.preset]}; "
                f"leave --preset out to have it recognised, or say the columns with --columns"
            )
        return found
    # a column of users, or columns that are named: a table of many people, whatever else it looks like
    if options.columns == Columns() and options.time_unit == "iso" and _USER not in _header(text):
        for name, preset in PRESETS.items():
            if name != "raddle" and (found := preset(Path(path), text, options)) is not None:
                return found
    return _raddle(Path(path), text, options)


def _raddle(path: Path, text: str, options: ReadOptions) -> Preset:
    """The schema of the original, or the columns that the user names."""
    header = _header(text)
    delimiter = _delimiter(text)
    parse_time = None
    if options.time_unit == "iso":
        parse_time = _time_parser(path, text, options.columns.time or _TIME, delimiter, options)
    return Dialect(
        columns=options.columns,
        unit=options.unit if options.columns.unit is None and "unit" not in header else None,
        user=options.user if options.columns.user is None and _USER not in header else None,
        delimiter=delimiter,
        parse_time=parse_time,
    )


def _withings(path: Path, text: str, options: ReadOptions) -> Preset | None:
    header = _header(text)
    weight = next((name for name in header if _WITHINGS.fullmatch(name)), None)
    if weight is None or "Date" not in header:
        return None
    delimiter = _delimiter(text)
    unit = _WITHINGS.fullmatch(weight)
    return Dialect(
        name="withings",
        columns=Columns(time="Date", weight=weight),
        unit=unit[1].lower() if unit else None,
        user=owner(path.name, options.user),
        delimiter=delimiter,
        source="withings",
        parse_time=_time_parser(path, text, "Date", delimiter, options),
    )


def _fitbit(path: Path, text: str, options: ReadOptions) -> Preset | None:
    # Google Health's Takeout: UTC times, whole grams.
    if _header(text)[:2] == ["timestamp", "weight grams"]:
        columns = Columns(time="timestamp", weight="weight grams", source="data source")
        return Dialect(name="fitbit", columns=columns, unit="g", user=owner(path.name, options.user), source="fitbit")
    unit, date_order = options.unit, options.date_order
    if fitbit.is_takeout(text):
        user = owner(path.name, options.user)
        return Reader("fitbit", partial(fitbit.read_takeout, path=path, user=user, unit=unit))
    if fitbit.is_body(text):
        user = owner(path.name, options.user)
        return Reader("fitbit", partial(fitbit.read_body, path=path, user=user, unit=unit, date_order=date_order))
    return None


def _apple(path: Path, text: str, options: ReadOptions) -> Preset | None:
    if apple.is_xml(text):
        return Reader("apple", partial(apple.read_xml, path=path, user=owner(path.name, options.user)))
    if apple.is_csv(_header(text)):
        return Reader("apple", partial(apple.read_csv, user=owner(path.name, options.user), delimiter=_delimiter(text)))
    return None


def _garmin(path: Path, text: str, options: ReadOptions) -> Preset | None:
    if not garmin.is_weight(_header(text)):
        return None
    return Reader("garmin", partial(garmin.read, user=owner(path.name, options.user)))


#: by name, in the order of recognition
PRESETS: Final[dict[str, Callable[[Path, str, ReadOptions], Preset | None]]] = {
    "raddle": _raddle,
    "apple": _apple,
    "fitbit": _fitbit,
    "garmin": _garmin,
    "withings": _withings,
}
_KINDS: Final = {
    "apple": "Apple Health's export.xml, or a CSV file made of it (type, sourceName, unit, startDate, value)",
    "fitbit": "Fitbit's weight-….json, weight.csv (timestamp, weight grams) or Body section (Date, Weight, BMI, Fat)",
    "garmin": "Garmin Connect's Weight.csv (Time, Weight, Change, BMI, ...)",
    "withings": 'Withings\' weight.csv (Date, "Weight (kg)", ...)',
    "raddle": "a CSV file with a header",
}


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].rstrip("\r")[:20_000]


def _delimiter(text: str) -> str:
    line = _first_line(text)
    if "," in line:
        return ","
    return max(_DELIMITERS, key=line.count)


def _header(text: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([_first_line(text)], delimiter=_delimiter(text)), [])]
    except csv.Error:
        return []


def _time_parser(
    path: Path, text: str, column: str, delimiter: str, options: ReadOptions
) -> Callable[[str], str | None] | None:
    """Return what reads the times of a column if they are not ISO 8601.

    Asked for with `date_order`, or all times at the beginning of the file are of three numbers: then these decide.
    """
    given = options.date_order
    if given is not None:
        return times.parser(times.decided_order((), where="", given=given))
    seen = _column(text, column, delimiter)
    if not seen or not all(map(times.looks_numeric, seen)):
        return None
    return times.parser(times.decided_order(seen, where=f"{path}: column {column!r}"))


def _column(text: str, column: str, delimiter: str) -> list[str]:
    """Return what a column holds at the beginning of the file, without what is missing."""
    whole = text[: text.rfind("\n") + 1] or text
    rows = csv.reader(io.StringIO(whole, newline=""), delimiter=delimiter)
    try:
        header = [cell.strip() for cell in next(rows, [])]
        if column not in header:
            return []
        at = header.index(column)
        cells = [row[at].strip() for row in rows if len(row) == len(header)]
    except csv.Error:
        return []
    return [cell for cell in cells if cell.lower() not in _MISSING]
