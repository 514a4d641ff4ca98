"""From a TOML table to a frozen dataclass, each key checked where it stands: configuration and profiles alike."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from raddle import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["load_toml", "no_such", "number", "shaped"]

T = TypeVar("T")
_HUGE = 1e300
_WORDS = {bool: "true or false", str: "a text in quotes"}


def number(
    least: float = -math.inf, most: float = math.inf, *, above: float = -math.inf, default: Any = dataclasses.MISSING
) -> Any:
    """Return a dataclass field for a number that must be finite, lie in [least, most] and be more than `above`."""
    return dataclasses.field(metadata={"least": least, "most": most, "above": above}, default=default)


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: missing, unreadable, or not TOML (with the line)
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise errors.ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.ConfigError(f"{path} is not TOML: {error}") from error


def shaped(table: Mapping[str, Any], shape: type[T], *, where: str = "", at: str = "") -> T:
    """Return an instance of `shape` filled from a table.

    Fields are bool, int, float, str, a Literal of texts, tuples of these, or further such dataclasses; bounds of
    numbers are told by `number`.

    Args:
        table: as tomllib gives it
        shape: a dataclass; a field without a default must be in the table
        where: begins each message, for instance the name of the file
        at: keys that lead to the table, each followed by a dot

    Raises:
        ConfigError: a key that does not exist or is missing, a value of another type or out of range
    """
    before = f"{where}: " if where else ""
    hints = get_type_hints(shape)
    known = {field.name: field for field in dataclasses.fields(shape)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise errors.ConfigError(f"{before}{_said(at + key, value)}: {no_such(key, tuple(known))}")
        values[key] = _value(hints[key], known[key].metadata, value, where=where, at=at + key)
    for key, field in known.items():
        if key not in table and field.default is field.default_factory is dataclasses.MISSING:
            raise errors.ConfigError(f'{before}{at}{key} is missing: add it, or begin with `base = "balanced"`')
    return shape(**values)


def no_such(name: str, known: Sequence[str]) -> str:
    """Say that a name is unknown, which exist, and which may have been meant."""
    near = difflib.get_close_matches(name.lower(), [item.lower() for item in known], n=1, cutoff=0.5)
    meant = next((item for item in known if near and item.lower() == near[0]), None)
    hint = f"; did you mean {meant!r}?" if meant else ""
    return f"there is no {name!r} among {', '.join(map(repr, known))}{hint}"


def _value(kind: Any, bounds: Mapping[str, float], value: Any, *, where: str, at: str) -> Any:
    before = f"{where}: " if where else ""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise errors.ConfigError(f"{before}{_said(at, value)}: must be a table, [{at}]")
        return shaped(value, kind, where=where, at=f"{at}.")  # type: ignore[arg-type]
    problem = _problem(kind, bounds, value)
    if problem:
        raise errors.ConfigError(f"{before}{_said(at, value)}: {problem}")
    if get_origin(kind) is tuple:
        return tuple(value)
    return float(value) if kind is float else value


def _problem(kind: Any, bounds: Mapping[str, float], value: Any) -> str:
    """Say what is wrong with a plain value; empty: nothing."""
    if get_origin(kind) is Literal:
        return "" if value in get_args(kind) else no_such(str(value), get_args(kind))
    if get_origin(kind) is tuple:
        of = get_args(kind)[0]
        wrong = [_problem(of, bounds, item) for item in value] if isinstance(value, list) else ["must be a list"]
        return next((item for item in wrong if item), "")
    if kind in _WORDS:
        return "" if isinstance(value, kind) else f"must be {_WORDS[kind]}"
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        return "must be a whole number" if kind is int else "must be a number"
    return _out_of_range(value, bounds)


def _out_of_range(value: float, bounds: Mapping[str, float]) -> str:
    least, most, above = (bounds.get(name, given) for name, given in _UNBOUNDED.items())
    if least <= value <= most and value > above and -_HUGE < value < _HUGE:  # false for NaN; an int may be too big
        return ""
    if not -_HUGE < value < _HUGE:
        return "must be a finite number"
    if not math.isinf(above):
        return f"must be more than {above:g}"
    return f"must be at least {least:g}" if math.isinf(most) else f"must be from {least:g} to {most:g}"


_UNBOUNDED = {"least": -math.inf, "most": math.inf, "above": -math.inf}


def _said(key: str, value: Any) -> str:
    return f"{key}=[...]" if isinstance(value, dict) else f"{key}={value!r}"
