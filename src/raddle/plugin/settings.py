"""From a TOML file to a frozen dataclass: each key and value checked where it stands, and what was perhaps meant."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["checked", "load_toml", "no_such", "number", "shaped", "table_of"]

T = TypeVar("T")
_HUGE: Final = 1e300
_PLAIN: Final[Mapping[Any, tuple[Any, str]]] = {
    bool: (bool, "true or false"),
    str: (str, "a text in quotes"),
    Path: ((str, Path), "a path in quotes"),
}


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
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def table_of(tables: Mapping[str, Any], name: str, *, where: str) -> dict[str, Any]:
    """Return a copy of one table of a file that others share; {} if it is not there.

    Raises:
        ConfigError: it is no table
    """
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {name}={table!r}: must be a table, [{name}]")
    return dict(table)


@dataclasses.dataclass(frozen=True, slots=True)
class _Telling:
    """How messages are written."""

    where: str
    secret: bool
    missing: str

    def wrong(self, key: str, value: Any, problem: str) -> ConfigError:
        shown = "" if self.secret else "=[...]" if isinstance(value, dict) else f"={value!r}"
        return self.at(f"{key}{shown}: {problem}")

    def at(self, text: str) -> ConfigError:
        return ConfigError(f"{self.where}: {text}" if self.where else text)


def shaped(
    table: Mapping[str, Any],
    shape: type[T],
    *,
    where: str = "",
    at: str = "",
    secret: bool = False,
    missing: str = "add it",
) -> T:
    """Return an instance of `shape` filled from a table.

    Fields are bool, int, float, str, Path, a Literal of texts, further such dataclasses, tuples of these, or one of
    these or None; bounds of numbers are told by `number`.

    Args:
        table: as tomllib gives it
        shape: a dataclass; a field without a default must be in the table
        where: begins each message, for instance the name of the file
        at: keys that lead to the table, each followed by a dot
        secret: repeat no values, since a key may stand where its name belongs
        missing: what to do about a key that is missing

    Raises:
        ConfigError: a key that does not exist or is missing, a value of another type or out of range
    """
    return _shaped(table, shape, at, _Telling(where, secret, missing))


def checked(value: Any, shape: type, name: str, *, called: str) -> Any:
    """Return a value as the field `name` of `shape` wants it: what came by a flag is checked as in a file.

    Args:
        value: not None
        shape: as for `shaped`
        name: of the field
        called: what the user calls it, such as "--workers"

    Raises:
        ConfigError: it is of another type or out of range
    """
    field = next(field for field in dataclasses.fields(shape) if field.name == name)
    return _value(get_type_hints(shape)[name], field.metadata, value, called, _Telling("", secret=False, missing=""))


def no_such(name: str, known: Sequence[str]) -> str:
    """Say that a name is unknown, which exist, and which may have been meant."""
    near = difflib.get_close_matches(name.lower(), [item.lower() for item in known], n=1, cutoff=0.5)
    meant = next((item for item in known if near and item.lower() == near[0]), None)
    hint = f"; did you mean {meant!r}?" if meant else ""
    return f"there is no {name!r} among {', '.join(map(repr, known))}{hint}"


def _shaped(table: Mapping[str, Any], shape: type[T], at: str, tell: _Telling) -> T:
    hints = get_type_hints(shape)
    known = {field.name: field for field in dataclasses.fields(shape)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise tell.wrong(at + key, value, no_such(key, tuple(known)))
        values[key] = _value(hints[key], known[key].metadata, value, at + key, tell)
    for key, field in known.items():
        if key not in table and field.default is field.default_factory is dataclasses.MISSING:
            raise tell.at(f"{at}{key} is missing: {tell.missing}")
    try:
        return shape(**values)
    except ConfigError as error:  # the shape's own check of what no key alone shows
        raise tell.at(str(error)) from error


def _value(kind: Any, bounds: Mapping[str, float], value: Any, key: str, tell: _Telling) -> Any:
    if get_origin(kind) in {Union, types.UnionType}:
        kind = next(one for one in get_args(kind) if one is not type(None))
    if dataclasses.is_dataclass(kind):
        if isinstance(value, kind):  # type: ignore[arg-type]  # an option given in Python
            return value
        if not isinstance(value, dict):
            raise tell.wrong(key, value, f"must be a table, [{key}]")
        return _shaped(value, kind, f"{key}.", tell)  # type: ignore[arg-type]
    if get_origin(kind) is tuple and dataclasses.is_dataclass(get_args(kind)[0]):
        if not isinstance(value, list | tuple):
            raise tell.wrong(key, value, f"must be a list of tables, [[{key}]]")
        return tuple(_value(get_args(kind)[0], {}, one, f"{key}[{place}]", tell) for place, one in enumerate(value))
    if problem := _problem(kind, bounds, value, secret=tell.secret):
        raise tell.wrong(key, value, problem)
    if get_origin(kind) is tuple:
        return tuple(value)
    if get_origin(kind) is Literal:
        return next(one for one in get_args(kind) if one == value)  # not the member of an enum that equals it
    return kind(value) if kind in {float, Path} else value


def _problem(kind: Any, bounds: Mapping[str, float], value: Any, *, secret: bool) -> str:
    """Say what is wrong with a plain value; empty: nothing."""
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return ""
        return f"must be one of {', '.join(get_args(kind))}" if secret else no_such(str(value), get_args(kind))
    if get_origin(kind) is tuple:
        of = get_args(kind)[0]
        listed = isinstance(value, list | tuple)
        wrong = [_problem(of, bounds, item, secret=secret) for item in value] if listed else ["must be a list"]
        return next((item for item in wrong if item), "")
    if kind in _PLAIN:
        allowed, words = _PLAIN[kind]
        return "" if isinstance(value, allowed) else f"must be {words}"
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


_UNBOUNDED: Final = {"least": -math.inf, "most": math.inf, "above": -math.inf}
