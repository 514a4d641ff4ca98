"""When a changed file says it was last modified."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from raddle.workloads.media.policy.values import Policy
    from raddle.workloads.media.values import MediaFile

__all__ = ["result_time"]

_TAGS: Final = ("date_released", "date", "year", "creation_time")
_FORMS: Final = ("%Y-%m-%d", "%Y-%m", "%Y")


def result_time(file: MediaFile, policy: Policy) -> int | None:
    """Return the mtime in ns that the result takes; None: the moment it is written.

    By release_date it is the day in the file's tags (date_released, date, year, creation_time), at 0:00 UTC, and the
    time of the original where they say none or an impossible one.
    """
    if policy.times == "now":
        return None
    original = file.identity[3]
    if policy.times == "preserve":
        return original
    tags = {name.casefold(): text for name, text in file.tags}
    days = (_day(tags[name]) for name in _TAGS if name in tags)
    return next((day for day in days if day is not None), original)


def _day(text: str) -> int | None:
    for form, letters in zip(_FORMS, (10, 7, 4), strict=True):
        try:
            day = datetime.strptime(text.strip()[:letters], form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return int(day.timestamp()) * 1_000_000_000
    return None
