"""The values that travel between reading, filtering, drawing and writing."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STAGES", "PageJob", "Readings", "UserJob", "UserResult"]

#: what became of a reading, by its code in UserResult.stages
STAGES = ("initialization", "accepted", "kalman_deviation", "physiological")


@dataclass(frozen=True, slots=True)
class Readings:
    """One user's used rows, by time, then by line. The tuples run parallel."""

    user: str
    #: line of the file where each row begins; the header is line 1
    lines: tuple[int, ...]
    #: UTC microseconds since 1970 (dates), or days since birth or start
    times: tuple[float, ...]
    weights_kg: tuple[float, ...]
    #: index into source_names
    sources: tuple[int, ...]
    source_names: tuple[str, ...]
    #: True: `times` are days, not microseconds
    days: bool
    #: rows of this user that could not be used
    unused: int = 0

    @property
    def ticks_per_day(self) -> float:
        """Return how much `times` grows in a day."""
        return 1.0 if self.days else 86_400_000_000.0


@dataclass(frozen=True, slots=True)
class PageJob:
    """Where a user's page goes and what it links to."""

    folder: str
    #: file name of the page, safe on every file system
    name: str
    previous: str = ""
    following: str = ""


@dataclass(frozen=True, slots=True)
class UserJob:
    """One item of the run."""

    #: user and digest of the data and rules, so that resume notices a changed input
    id: str
    readings: Readings
    #: None: no page is wanted
    page: PageJob | None


@dataclass(frozen=True, slots=True)
class UserResult:
    """What the filter says of each reading, and where it ended. The tuples run parallel to `Readings.lines`.

    None stands where nothing is known: no filter had been started.
    """

    #: index into STAGES
    stages: bytes
    filtered_kg: tuple[float | None, ...]
    trend_kg_day: tuple[float | None, ...]
    #: standard deviation of the filtered weight and of the trend
    sigma_kg: tuple[float | None, ...]
    trend_sigma: tuple[float | None, ...]
    #: reading minus what the filter expected before it saw it
    innovation_kg: tuple[float | None, ...]
    #: the innovation that would still have been believed
    allowed_kg: tuple[float | None, ...]
    #: offset -> why the filter was started there: "first reading", "gap", "level change"
    restarts: dict[int, str]
    #: weight, trend and their covariance (p00, p01, p11) after the last accepted reading; None if there was none
    state: tuple[float, float, float, float, float] | None
    #: offset of the last accepted reading, -1 if there was none
    last: int
    #: accepted readings since the last restart
    since_restart: int

    @property
    def accepted(self) -> int:
        """Return how many readings were accepted."""
        return sum(stage <= 1 for stage in self.stages)
