"""The tables `[media]` and `[processing]` of a TOML file: what holds whatever the policy. A flag beats them."""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from raddle.errors import ConfigError
from raddle.workloads.media.state import default_state
from raddle.workloads.media.views import View

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Settings", "load_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options of all commands. Times in seconds; 0: no limit."""

    #: `[processing] workers`: files under way at once; None: as many as the CPUs
    workers: int | None = None
    #: of these, that are encoded; None: two, or a quarter of the CPUs
    encodes: int | None = None
    #: folder of the totals, the journal and the locks; None: below XDG_STATE_HOME
    state: Path | None = None
    #: without any progress of a program
    stall_timeout: float = 300.0
    #: for one step on one file
    hard_timeout: float = 0.0
    progress: View = "auto"
    #: programs, by path or name; None: looked for
    ffmpeg: str | None = None
    mkvmerge: str | None = None
    mkvpropedit: str | None = None
    #: false: mkvmerge and mkvpropedit are left alone even if there
    mkvtoolnix: bool = True

    @property
    def folder(self) -> Path:
        """Return the folder for the state."""
        return default_state() if self.state is None else self.state

    def beaten_by(self, **flags: Any) -> Settings:
        """Return the settings with those flags that were given, not None, each checked.

        Raises:
            ConfigError: a value is out of range
        """
        given = {name: value for name, value in flags.items() if value is not None}
        for name, value in given.items():
            _check(name, value, f"--{name.replace('_', '-')}={value}")
        return replace(self, **given)


#: least value, of those that are numbers
_LEAST: Final = {"workers": 1, "encodes": 1, "stall_timeout": 0, "hard_timeout": 0}
_KINDS: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "workers": (int, "a whole number from 1 on"),
    "encodes": (int, "a whole number from 1 on"),
    "stall_timeout": ((int, float), "seconds from 0 on; 0: no limit"),
    "hard_timeout": ((int, float), "seconds from 0 on; 0: no limit"),
    "state": ((str, Path), "the path of a folder, in quotes"),
    "progress": (str, f"one of {', '.join(get_args(View))}"),
    "ffmpeg": (str, "the path or name of a program, in quotes"),
    "mkvmerge": (str, "the path or name of a program, in quotes"),
    "mkvpropedit": (str, "the path or name of a program, in quotes"),
    "mkvtoolnix": (bool, "true or false"),
}


def load_settings(path: Path | None) -> Settings:
    """Read the file; None: the defaults. Tables of others are left alone.

    Raises:
        ConfigError: missing, not TOML, or a key that does not exist or cannot be so
    """
    if path is None:
        return Settings()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"config={str(path)!r} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config={str(path)!r} is not TOML: {error}") from error
    of_media = tuple(field.name for field in fields(Settings) if field.name != "workers")
    chosen = _table(tables, "media", of_media, path) | _table(tables, "processing", ("workers",), path)
    if "state" in chosen:  # beside the file that says so, wherever the command is started
        chosen["state"] = path.parent / Path(chosen["state"]).expanduser()
    return Settings(**chosen)


def _table(tables: Mapping[str, Any], name: str, known: tuple[str, ...], path: Path) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name}={table!r}: must be a table, [{name}]")
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
            raise ConfigError(f"{path}: {name}.{key}={value!r}: there is no such key{meant}")
        _check(key, value, f"{path}: {name}.{key}={value!r}")
    return dict(table)


def _check(name: str, value: Any, shown: str) -> None:
    kind, words = _KINDS[name]
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if right and name == "progress":
        right = value in get_args(View)
    if right and name in _LEAST:
        right = value >= _LEAST[name] and math.isfinite(value)
    if not right:
        raise ConfigError(f"{shown}: must be {words}")
