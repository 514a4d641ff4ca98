"""Profiles: named sets of parameters in TOML, shipped or the user's own, read into a frozen dataclass.

A file of the user's own may stand on a shipped one and say only what differs:

    base = "balanced"
    [quality_scoring]
    threshold = 0.65

A key that does nothing does not exist: whatever the shape does not name is an error that says what may have been meant.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from raddle import errors
from raddle.workloads.weights.options import no_such

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

__all__ = ["number", "profile_names", "read_profile", "shipped_text"]

Shape = TypeVar("Shape")
_BASE = "base"
_HUGE = 1e300


def number(least: float, most: float = math.inf) -> Any:
    """Return a dataclass field for a number that must be finite and lie in [least, most]."""
    return dataclasses.field(metadata={"least": least, "most": most})


def profile_names(rules: str) -> tuple[str, ...]:
    """Return the names of the shipped profiles, ascending."""
    found = (entry.name for entry in _folder(rules).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def shipped_text(rules: str, name: str) -> str:
    """Return a shipped profile as it is written.

    Raises:
        ConfigError: there is none of that name
    """
    names = profile_names(rules)
    if name not in names:
        raise errors.ConfigError(f"profile={name!r}: {no_such(name, names)}; or give the path of a .toml file")
    return _folder(rules).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def read_profile(rules: str, profile: str, shape: type[Shape]) -> Shape:
    """Read a profile into `shape`, a frozen dataclass of numbers, bools, strings, tuples of these and such dataclasses.

    Args:
        rules: "compat" or "v2"
        profile: name of a shipped one, or path of a .toml file; a path ends in `.toml` or has a separator in it
        shape: what the file must hold, every key of it; limits are told by `number`, choices by `Literal`

    Raises:
        ConfigError: no such profile, a key that does not exist or is missing, a value of the wrong type or out of range
    """
    made: Shape = _made(shape, _table(rules, profile), where=f"profile={profile!r}", at="")
    return made


def _folder(rules: str) -> Traversable:
    return files("raddle.workloads.weights.rules").joinpath("profiles", rules)


def _table(rules: str, profile: str) -> dict[str, Any]:
    if not profile.endswith(".toml") and "/" not in profile:
        return tomllib.loads(shipped_text(rules, profile))
    try:
        table = tomllib.loads(Path(profile).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        shipped = ", ".join(profile_names(rules))
        raise errors.ConfigError(f"profile={profile!r}: there is no such file; shipped profiles: {shipped}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise errors.ConfigError(f"profile={profile!r} cannot be read as TOML: {error}") from error
    if _BASE not in table:
        return table
    base = table.pop(_BASE)
    names = profile_names(rules)
    if base not in names:
        raise errors.ConfigError(f"profile={profile!r}: base={base!r}: {no_such(str(base), names)}")
    return _laid_over(tomllib.loads(shipped_text(rules, base)), table)


def _laid_over(base: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in table.items():
        under = both.get(key)
        both[key] = _laid_over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return both


def _made(shape: Any, table: Mapping[str, Any], *, where: str, at: str) -> Any:
    hints = get_type_hints(shape)
    known = {field.name: field for field in dataclasses.fields(shape)}
    for key, value in table.items():
        if key not in known:
            raise errors.ConfigError(f"{where}: {_said(at + key, value)}: {no_such(key, tuple(known))}")
    values = {}
    for key, field in known.items():
        if key not in table:
            raise errors.ConfigError(f'{where}: {at}{key} is missing: add it, or begin with `{_BASE} = "balanced"`')
        values[key] = _value(hints[key], field.metadata, table[key], where=where, at=at + key)
    return shape(**values)


def _value(kind: Any, limits: Mapping[str, float], value: Any, *, where: str, at: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise errors.ConfigError(f"{where}: {_said(at, value)}: must be a table, [{at}]")
        return _made(kind, value, where=where, at=f"{at}.")
    problem = _problem(kind, limits, value)
    if problem:
        raise errors.ConfigError(f"{where}: {_said(at, value)}: {problem}")
    if get_origin(kind) is tuple:
        return tuple(float(item) if get_args(kind)[0] is float else item for item in value)
    return float(value) if kind is float else value


def _problem(kind: Any, limits: Mapping[str, float], value: Any) -> str:
    """Say what is wrong with a plain value; empty: nothing."""
    if get_origin(kind) is Literal:
        return "" if value in get_args(kind) else no_such(str(value), get_args(kind))
    if get_origin(kind) is tuple:
        of = get_args(kind)[0]
        wrong = [_problem(of, limits, item) for item in value] if isinstance(value, list) else ["must be a list"]
        return next((item for item in wrong if item), "")
    if kind in (bool, str):
        wanted = "true or false" if kind is bool else "a text in quotes"
        return "" if isinstance(value, kind) else f"must be {wanted}"
    return _number_problem(kind, limits, value)


def _number_problem(kind: Any, limits: Mapping[str, float], value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if kind is int and not isinstance(value, int):
        return "must be a whole number"
    least, most = limits.get("least", -math.inf), limits.get("most", math.inf)
    if least <= value <= most and -_HUGE < value < _HUGE:  # false for NaN; an int may be too big for isfinite
        return ""
    return f"must be at least {least:g}" if math.isinf(most) else f"must be from {least:g} to {most:g}"


def _said(key: str, value: Any) -> str:
    return f"{key}=[...]" if isinstance(value, dict) else f"{key}={value!r}"
