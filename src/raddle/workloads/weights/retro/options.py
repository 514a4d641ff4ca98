"""Options of the retrospective pass, and the `[retro]` table that sets them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from raddle import errors
from raddle.workloads.weights.options import no_such

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RetroOptions", "retro_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetroOptions:
    """What counts as an outlier in hindsight, and how far a replay may go. Changes are shares: .30 is 30 %."""

    #: length of a window; the original's `buffer_hours` is the same in hours
    window_days: float = 14.0
    #: a window with fewer readings goes on into the next, up to `max_windows` of them, and is then left alone
    min_readings: int = 4
    max_windows: int = 4
    #: a window with more readings is split
    max_readings: int = 100
    #: Tukey's fences, in interquartile ranges beyond the quartiles
    iqr_multiplier: float = 1.5
    #: of the modified z-score
    z_threshold: float = 3.0
    #: from one reading to the next
    temporal_max_change: float = 0.30
    #: confirmation: distance from what the filter expected, as a share of that ...
    kalman_threshold: float = 0.15
    #: ... or in standard deviations; readings scatter as those of the window do, by `reading_sigma_kg` at least
    kalman_sigmas: float = 4.0
    reading_sigma_kg: float = 1.0
    #: no outlier is a reading that is within this share of the one before or after it, or of the window's median; 0:
    #: support counts for nothing
    support_change: float = 0.04
    #: ... except in an excursion: so few readings at most that agree among themselves only, further than this from
    #: those before and after, which agree
    excursion_readings: int = 2
    excursion_change: float = 0.08
    #: readings of this quality, and level changes that the rules confirmed, are never taken out
    protect: bool = True
    protect_quality: float = 0.7
    #: a replay that moves the weight at the window's end further is refused
    max_shift_kg: float = 15.0
    #: a replay that leaves a smaller share of the readings in use is refused
    min_left: float = 0.5
    #: a published result that moves by no more gets no revision, unless its stage changes
    report_kg: float = 0.05


#: the original's names
_SYNONYMS: Final = {"buffer_hours": "window_days", "min_measurements_for_analysis": "min_readings"}
_SHARES: Final = frozenset({"protect_quality", "min_left"})
_MAY_BE_ZERO: Final = frozenset({"reading_sigma_kg", "support_change", "protect_quality", "min_left", "report_kg"})
_LEAST: Final = {"min_readings": 3, "max_windows": 1, "excursion_readings": 1}


def retro_options(table: Mapping[str, Any]) -> RetroOptions:
    """Return the options of a `[retro]` table.

    Raises:
        ConfigError: a key that does not exist, twice the same thing, or a value out of its range
    """
    kinds = {field.name: type(field.default) for field in fields(RetroOptions)}
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = _SYNONYMS.get(key, key)
        if name not in kinds:
            raise errors.ConfigError(f"retro.{key}={value!r}: {no_such(key, [*kinds, *_SYNONYMS])}")
        if name in found:
            raise errors.ConfigError(f"retro.{key}={value!r}: it says the same as {name!r}; keep one of the two")
        number = _checked(key, name, value, kinds[name])
        found[name] = number / 24.0 if key == "buffer_hours" else number
    options = RetroOptions(**found)
    if options.max_readings < options.min_readings:
        raise errors.ConfigError(
            f"retro.max_readings={options.max_readings}: give at least min_readings={options.min_readings}"
        )
    return options


def _checked(key: str, name: str, value: Any, kind: type) -> Any:
    if kind is bool:
        if not isinstance(value, bool):
            raise errors.ConfigError(f"retro.{key}={value!r}: write true or false")
        return value
    whole = kind is int
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise errors.ConfigError(f"retro.{key}={value!r}: write a {'whole number' if whole else 'number'}")
    if not math.isfinite(value) or value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
        least = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
        raise errors.ConfigError(f"retro.{key}={value!r}: give a number, {least}")
    if value < _LEAST.get(name, 0):
        raise errors.ConfigError(f"retro.{key}={value!r}: give at least {_LEAST[name]}")
    if name in _SHARES and value > 1:
        raise errors.ConfigError(f"retro.{key}={value!r}: it is a share; give a number from 0 to 1")
    return kind(value)
