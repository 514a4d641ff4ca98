"""The tables `[media]` and `[processing]` of a TOML file: what holds whatever the policy. A flag beats them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path  # noqa: TC003 - `shaped` reads it
from typing import Any

from raddle.plugin.settings import checked, load_toml, number, shaped, table_of
from raddle.workloads.media.state import default_state
from raddle.workloads.media.views import View  # noqa: TC001 - `shaped` reads it

__all__ = ["Settings", "load_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Processing:
    """`[processing]`."""

    #: files under way at once; None: as many as the CPUs
    workers: int | None = number(1, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Media:
    """`[media]`."""

    #: of the files under way, that are encoded; None: two, or a quarter of the CPUs
    encodes: int | None = number(1, default=None)
    #: folder of the totals, of what `--resume` knows, and of the locks; None: below XDG_STATE_HOME
    state: Path | None = None
    #: without any progress of a program
    stall_timeout: float = number(0, default=300.0)
    #: for one step on one file
    hard_timeout: float = number(0, default=0.0)
    progress: View = "auto"
    #: programs, by path or name; None: looked for
    ffmpeg: str | None = None
    mkvmerge: str | None = None
    mkvpropedit: str | None = None
    #: false: mkvmerge and mkvpropedit are left alone even if there
    mkvtoolnix: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(_Media):
    """Options of all commands. Times in seconds; 0: no limit."""

    #: as in `[processing]`
    workers: int | None = number(1, default=None)

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
            checked(value, Settings, name, called=f"--{name.replace('_', '-')}")
        return replace(self, **given)


def load_settings(path: Path | None) -> Settings:
    """Read the file; None: the defaults. Tables of others are left alone.

    Raises:
        ConfigError: missing, not TOML, or a key that does not exist or cannot be so
    """
    if path is None:
        return Settings()
    tables, where = load_toml(path), str(path)
    own = shaped(table_of(tables, "media", where=where), _Media, where=where, at="media.")
    shared = shaped(table_of(tables, "processing", where=where), _Processing, where=where, at="processing.")
    settings = Settings(**asdict(own), **asdict(shared))
    if settings.state is None:
        return settings
    # beside the file that says so, wherever the command is started
    return replace(settings, state=path.parent / settings.state.expanduser())
