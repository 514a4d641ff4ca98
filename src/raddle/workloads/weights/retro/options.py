"""Options of the retrospective pass, and the `[retro]` table that sets them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from raddle import errors
from raddle.plugin.settings import no_such, number, shaped

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RetroOptions", "retro_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetroOptions:
    """What counts as an outlier in hindsight, and how far a replay may go. Changes are shares: .30 is 30 %."""

    #: length of a window; the original's `buffer_hours` is the same in hours
    window_days: float = number(above=0, default=14.0)
    #: a window with fewer readings goes on into the next, up to `max_windows` of them, and is then left alone
    min_readings: int = number(3, default=4)
    max_windows: int = number(1, default=4)
    #: a window with more readings is split
    max_readings: int = number(above=0, default=100)
    #: Tukey's fences, in interquartile ranges beyond the quartiles
    iqr_multiplier: float = number(above=0, default=1.5)
    #: of the modified z-score
    z_threshold: float = number(above=0, default=3.0)
    #: from one reading to the next
    temporal_max_change: float = number(above=0, default=0.30)
    #: confirmation: distance from what the filter expected, as a share of that ...
    kalman_threshold: float = number(above=0, default=0.15)
    #: ... or in standard deviations; readings scatter as those of the window do, by `reading_sigma_kg` at least
    kalman_sigmas: float = number(above=0, default=4.0)
    reading_sigma_kg: float = number(0, default=1.0)
    #: no outlier is a reading that is within this share of the one before or after it, or of the window's median; 0:
    #: support counts for nothing
    support_change: float = number(0, default=0.04)
    #: ... except in an excursion: so few readings at most that agree among themselves only, further than this from
    #: those before and after, which agree
    excursion_readings: int = number(1, default=2)
    excursion_change: float = number(above=0, default=0.08)
    #: readings of this quality, and level changes that the rules confirmed, are never taken out
    protect: bool = True
    protect_quality: float = number(0, 1, default=0.7)
    #: a replay that moves the weight at the window's end further is refused
    max_shift_kg: float = number(above=0, default=15.0)
    #: a replay that leaves a smaller share of the readings in use is refused
    min_left: float = number(0, 1, default=0.5)
    #: a published result that moves by no more gets no revision, unless its stage changes
    report_kg: float = number(0, default=0.05)


#: the original's names
_SYNONYMS: Final = {"buffer_hours": "window_days", "min_measurements_for_analysis": "min_readings"}


def retro_options(table: Mapping[str, Any]) -> RetroOptions:
    """Return the options of a `[retro]` table.

    Raises:
        ConfigError: a key that does not exist, twice the same thing, or a value out of its range
    """
    renamed: dict[str, Any] = {}
    for key, value in table.items():
        name = _SYNONYMS.get(key, key)
        if name not in RetroOptions.__slots__:
            raise errors.ConfigError(f"retro.{key}={value!r}: {no_such(key, [*RetroOptions.__slots__, *_SYNONYMS])}")
        if name in renamed:
            raise errors.ConfigError(f"retro.{key}={value!r}: it says the same as {name!r}; keep one of the two")
        hours = key == "buffer_hours" and isinstance(value, int | float) and not isinstance(value, bool)
        renamed[name] = value / 24.0 if hours else value
    options = shaped(renamed, RetroOptions, at="retro.")
    if options.max_readings < options.min_readings:
        raise errors.ConfigError(
            f"retro.max_readings={options.max_readings}: give at least min_readings={options.min_readings}"
        )
    return options
