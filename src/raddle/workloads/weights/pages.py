"""The page of one user, as bytes: the same bytes for the same data, whoever draws it."""

from __future__ import annotations

import hashlib
from functools import cache
from html import escape
from string import Template
from typing import TYPE_CHECKING

from raddle.workloads.weights.figure import figure, rejection
from raddle.workloads.weights.files import asset
from raddle.workloads.weights.text import date, embedded_json, kg, moment, signed

if TYPE_CHECKING:
    from raddle.workloads.weights.values import PageJob, Readings, UserResult

__all__ = ["failed_page", "page_mark", "user_page"]

_MOST_LISTED = 300


def page_mark(identity: str, page: PageJob) -> str:
    """Return what a page carries to show which data, neighbours and templates it was drawn from."""
    parts = (identity, page.name, page.previous, page.following, _templates())
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


@cache
def _templates() -> str:
    return "".join(hashlib.blake2b(asset(name).encode()).hexdigest() for name in ("page.html", "chart.html"))


def user_page(readings: Readings, result: UserResult, page: PageJob, *, mark: str) -> bytes:
    """Return the page of a user."""
    body = Template(asset("chart.html")).substitute(
        tiles=_tiles(readings, result),
        figure=embedded_json(figure(readings, result)),
        rejected=_rejected_table(readings, result),
    )
    return _whole(readings.user, page, mark, body)


def failed_page(user: str, page: PageJob, *, status: str, error: str) -> bytes:
    """Return the page of a user whose data could not be processed, so that links to it lead somewhere."""
    body = f'<p class="failure">This user could not be processed ({escape(status)}).</p><pre>{escape(error)}</pre>'
    return _whole(user, page, "", body)


def _whole(user: str, page: PageJob, mark: str, body: str) -> bytes:
    return (
        Template(asset("page.html"))
        .substitute(
            mark=mark,
            user=escape(user),
            previous=_link(page.previous, "prev", "← previous"),
            following=_link(page.following, "next", "next →"),
            body=body,
        )
        .encode()
    )


def _link(name: str, relation: str, text: str) -> str:
    return f'<a rel="{relation}" href="{name}">{text}</a>' if name else f"<span>{text}</span>"


def _tiles(readings: Readings, result: UserResult) -> str:
    total, accepted = len(readings.lines), result.accepted
    share = f"{100 * (total - accepted) / total:.1f} %" if total else ""
    first, last = (date(readings.times[at], days=readings.days) for at in (0, -1))
    weight = trend = None
    note = since = ""
    if result.state is not None:
        weight, trend = result.state[0], weekly(result)
        note = f"±{2 * result.state[2] ** 0.5:.1f} kg, {date(readings.times[result.last], days=readings.days)}"
        since = f"from {_count(result.since_restart, 'reading')} since the last restart"
    restarts = sum(why != "first reading" for why in result.restarts.values())
    gaps = sum(why == "gap" for why in result.restarts.values())
    tiles = [
        ("now", kg(weight), "kg", note),
        ("trend", signed(trend), "kg/week", since),
        ("readings", f"{total:,}", "", f"{first} to {last}"),
        ("rejected", f"{total - accepted:,}", share, f"{_count(readings.unused, 'more row')} could not be used"),
        ("restarts", f"{restarts:,}", "", f"{gaps:,} after a gap, {restarts - gaps:,} after a change of level"),
    ]
    return "".join(
        f'<div class="tile"><dt>{name}</dt><dd><b>{value}</b> <span>{unit}</span>'
        f"<small>{escape(more)}</small></dd></div>"
        for name, value, unit, more in tiles
    )


def weekly(result: UserResult) -> float | None:
    """Return the trend in kg/week; None where a single reading has none."""
    return result.state[1] * 7 if result.state is not None and result.since_restart > 1 else None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _rejected_table(readings: Readings, result: UserResult) -> str:
    own = [at for at, stage in enumerate(result.stages) if stage > 1]
    if not own:
        return '<p class="quiet">No reading was rejected.</p>'
    rows = "".join(
        f"<tr><td>{readings.lines[at]}</td><td>{moment(readings.times[at], days=readings.days)}</td>"
        f"<td>{kg(readings.weights_kg[at])}</td><td>{escape(readings.source_names[readings.sources[at]][:80])}</td>"
        f"<td>{rejection(result, at)}</td></tr>"
        for at in own[:_MOST_LISTED]
    )
    more = f'<p class="quiet">The first {_MOST_LISTED} are listed.</p>' if len(own) > _MOST_LISTED else ""
    return (
        f"<details><summary>{len(own):,} rejected, with the reason for each</summary>"
        '<div class="scroll"><table><thead><tr><th>line</th><th>time</th><th>kg</th><th>source</th><th>why</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>{more}</details>"
    )
