"""Profiles: named sets of parameters in TOML, shipped or the user's own, read into a frozen dataclass.

A file of the user's own may stand on a shipped one and say only what differs:

    base = "balanced"
    [quality_scoring]
    threshold = 0.65

A key that does nothing does not exist: whatever the shape does not name is an error that says what may have been meant.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from raddle import errors
from raddle.plugin.settings import no_such, shaped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

__all__ = ["profile_names", "read_profile", "shipped_text"]

Shape = TypeVar("Shape")
_BASE = "base"


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
    missing = 'add it, or begin with `base = "balanced"`'
    return shaped(_table(rules, profile), shape, where=f"profile={profile!r}", missing=missing)


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
