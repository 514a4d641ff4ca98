"""From a TOML table to a frozen dataclass, each key checked where it stands."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from raddle import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["load_toml", "no_such", "shaped"]

T = TypeVar("T")


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


def shaped(table: Mapping[str, Any], shape: type[T], *, place: str) -> T:
    """Return an instance of `shape` filled from a table.

    Fields are bool, int, float, str or another such dataclass; `metadata` may hold "least" and "most", and "above"
    for a bound that is not itself allowed.

    Raises:
        ConfigError: a key that does not exist, of another type, or out of range; `place` says where the table stands
    """
    kinds = get_type_hints(shape)
    known = {item.name: item for item in dataclasses.fields(shape)}  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for key, value in table.items():
        shown = f"{place}.{key}" if place else key
        if key not in known:
            raise errors.ConfigError(f"{shown}={value!r}: {no_such(key, list(known))}")
        found[key] = _checked(value, kinds[key], known[key].metadata, shown)
    return shape(**found)


def _checked(value: Any, kind: Any, bounds: Mapping[str, Any], shown: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise errors.ConfigError(f"{shown}={value!r}: must be a table, [{shown}]")
        return shaped(value, kind, place=shown)  # type: ignore[arg-type]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise errors.ConfigError(f"{shown}={value!r}: must be {_WORDS[kind]}")
    if kind in {int, float}:
        _in_range(value, bounds, shown)
    return value


def _in_range(value: float, bounds: Mapping[str, Any], shown: str) -> None:
    least, above, most = bounds.get("least"), bounds.get("above"), bounds.get("most")
    too_small = (least is not None and not value >= least) or (above is not None and not value > above)
    if too_small or (most is not None and not value <= most):  # `not`: NaN is refused too
        words = [f"at least {least}"] * (least is not None) + [f"more than {above}"] * (above is not None)
        words += [f"at most {most}"] * (most is not None)
        raise errors.ConfigError(f"{shown}={value}: must be {' and '.join(words)}")


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def no_such(name: str, known: Sequence[str]) -> str:
    """Say that a name is unknown, which exist, and which may have been meant."""
    near = difflib.get_close_matches(name.lower(), [item.lower() for item in known], n=1, cutoff=0.5)
    meant = next((item for item in known if near and item.lower() == near[0]), None)
    hint = f"; did you mean {meant!r}?" if meant else ""
    return f"there is no {name!r} among {', '.join(map(repr, known))}{hint}"
