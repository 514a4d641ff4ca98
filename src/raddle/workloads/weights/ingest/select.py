"""Which rows and users are wanted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from raddle import errors
from raddle.workloads.weights.ingest.fields import REASONS, WHITE, Refused, parse_days, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from raddle.workloads.weights.options import ReadOptions

__all__ = ["ALWAYS", "Selection", "chosen", "counts_first", "date_range", "listed_users"]

#: ticks that no row reaches
ALWAYS: Final = (-(2**62), 2**62)
_DAY_TEXT: Final = 10
_NOT_SELECTED, _TOO_FEW = REASONS.index("not_selected"), REASONS.index("too_few_readings")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted of the rows: instants, inclusive, and users."""

    since: int = ALWAYS[0]
    until: int = ALWAYS[1]
    #: only these; None: all
    listed: frozenset[str] | None = None
    #: why the rows of a user are not wanted, as a code of REASONS; others are
    unwanted: Mapping[str, int] = field(default_factory=dict)

    def verdict(self, user: str) -> int:
        """Return why rows of a user are not wanted, as a code of REASONS; 0: they are."""
        if self.listed is not None:
            return 0 if user in self.listed else _NOT_SELECTED
        return self.unwanted.get(user, 0)


def date_range(options: ReadOptions) -> tuple[int, int]:
    """Return the first and the last instant, inclusive; a day as the last one is meant wholly.

    Raises:
        ConfigError: no time, or the end is before the begin
    """
    since = ALWAYS[0] if options.since is None else _instant("since", options.since, options)
    until = ALWAYS[1] if options.until is None else _instant("until", options.until, options)
    if options.until is not None and options.time_unit == "iso" and len(options.until.strip()) == _DAY_TEXT:
        until += 86_400_000_000 - 1
    if since > until:
        raise errors.ConfigError(f"since={options.since}, until={options.until}: the end comes first; swap them")
    return since, until


def _instant(name: str, text: str, options: ReadOptions) -> int:
    try:
        return parse_days(text.strip()) if options.time_unit == "days" else parse_time(text.strip())
    except Refused as refusal:
        remedy = "a number of days" if options.time_unit == "days" else f"a day such as {_example()}, or an instant"
        raise errors.ConfigError(f"{name}={text!r} is no time: write {remedy}") from refusal


def _example() -> str:
    return datetime(2025, 1, 31, tzinfo=UTC).date().isoformat()


def listed_users(path: Path) -> frozenset[str]:
    """Read a file with an id per line; empty lines and those that begin with # say nothing.

    Raises:
        ConfigError: it cannot be read, or names nobody
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise errors.ConfigError(f"users_file={path}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise errors.ConfigError(f"users_file={path} is not UTF-8 ({error}): save it as UTF-8") from error
    except OSError as error:
        raise errors.ConfigError(f"users_file={path} cannot be read: {error.strerror or error}") from error
    lines = (line.strip(WHITE) for line in text.split("\n"))
    users = frozenset(line for line in lines if line and not line.startswith("#"))
    if not users:
        raise errors.ConfigError(f"users_file={path} names nobody: write one id per line")
    return users


def counts_first(options: ReadOptions) -> bool:
    """Tell whether the files must be read once to count before it is known who is wanted."""
    return options.users_file is None and (options.min_readings > 1 or options.user_offset > 0 or options.max_users > 0)


def chosen(options: ReadOptions, usable: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return who is not wanted and why, from the usable rows of each user in the date range."""
    unwanted: dict[str, int] = {}
    enough: list[str] = []
    for user, rows in usable:
        if rows >= options.min_readings:
            enough.append(user)
        elif rows:
            unwanted[user] = _TOO_FEW
    enough.sort()
    last = options.user_offset + options.max_users if options.max_users else len(enough)
    kept = set(enough[options.user_offset : last])
    return unwanted | {user: _NOT_SELECTED for user in enough if user not in kept}
