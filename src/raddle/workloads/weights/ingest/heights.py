"""Heights of users, from a CSV file with the columns user_id, value_quantity, unit."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING, Final

from raddle import errors
from raddle.workloads.weights.ingest.fields import WHITE, is_missing, parse_number
from raddle.workloads.weights.options import no_such

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_heights"]

#: metres that are believed
_LEAST, _MOST = 0.3, 2.8
#: metres in one of a unit that contains the text; the first that fits. All others mean centimetres.
_METRES: Final = (("cm", 0.01), ("in", 0.0254), ("ft", 0.3048), ("feet", 0.3048), ("foot", 0.3048), ("m", 1.0))


def read_heights(path: Path) -> tuple[dict[str, float], Counter[str]]:
    """Return metres by user (the last that can be used), and counts of lines: used, and not used by reason.

    Raises:
        ConfigError: the file cannot be read, or lacks a column
    """
    heights: dict[str, float] = {}
    counts: Counter[str] = Counter()
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file)
            header = [cell.strip() for cell in next(rows, [])]
            at = {name: _place(header, name, path) for name in ("user_id", "value_quantity")}
            unit = header.index("unit") if "unit" in header else None
            for cells in rows:
                if not cells:
                    continue
                if len(cells) != len(header):
                    counts["malformed_row"] += 1
                    continue
                user, text = cells[at["user_id"]].strip(WHITE), cells[at["value_quantity"]].strip(WHITE)
                reason, metres = _metres(user, text, "cm" if unit is None else cells[unit])
                counts[reason] += 1
                if reason == "used":
                    heights[user] = metres
    except FileNotFoundError as error:
        raise errors.ConfigError(f"heights={path}: there is no such file") from error
    except csv.Error as error:
        raise errors.ConfigError(
            f"heights={path}, line {rows.line_num}: {error}; mend the line or leave it out"
        ) from error
    except OSError as error:
        raise errors.ConfigError(f"heights={path} cannot be read: {error.strerror or error}") from error
    return heights, counts


def _place(header: list[str], name: str, path: Path) -> int:
    if name not in header:
        raise errors.ConfigError(
            f"heights={path}: {no_such(name, header)} The first line must be user_id,value_quantity,unit"
        )
    return header.index(name)


def _metres(user: str, text: str, unit: str) -> tuple[str, float]:
    if is_missing(user):
        return "no_user", 0.0
    number = parse_number(text)
    if number is None:
        return "not_a_number", 0.0
    factor = next((metres for part, metres in _METRES if part in unit.lower()), 0.01)
    # the division that the original does: 170.1 cm times 0.01 is another double
    metres = number / 100.0 if factor == 0.01 else number * factor  # noqa: PLR2004 - the constant above
    return ("used", metres) if _LEAST <= metres <= _MOST else ("out_of_range", 0.0)
