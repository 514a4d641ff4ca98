"""The page of one user, as bytes: the same bytes for the same data, whoever draws it."""

from __future__ import annotations

import hashlib
import math
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

import numpy as np

from raddle.workloads.weights.pages.explain import explain, times
from raddle.workloads.weights.pages.figure import MOST_DRAWN, columns
from raddle.workloads.weights.pages.kinds import CATEGORIES, SEVERITIES, categories, severities
from raddle.workloads.weights.text import kg, script_json, signed
from raddle.workloads.weights.values import RESETS, STAGES

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Bytes, Ints, Neighbours, Person

__all__ = ["failed_page", "page_mark", "shared_assets", "user_page"]

#: rows of a table on a page; what is left out is said there and is in results.parquet
MOST_LISTED: Final = 400
_SHARED = ("page.css", "page.js")
_MADE_OF = ("assets/page.html", "assets/chart.html", *(f"assets/{name}" for name in _SHARED))
_CODE = ("page.py", "figure.py", "explain.py", "kinds.py")
_WORDS = 80  # most characters of a source or a user in a line


def user_page(person: Person, links: Neighbours, *, mark: str) -> bytes:
    """Return the page of a user; `mark` (see `page_mark`) stands near its beginning."""
    if not len(person.line):
        return _whole(person.id, links, mark, '<p class="quiet">No reading of this user could be used.</p>')
    with np.errstate(all="ignore"):  # what is not finite is shown as unknown
        rejected = np.flatnonzero(person.stage > 1)
        severity = severities(person, rejected)
        body = _template("chart.html").substitute(
            tiles=_tiles(person, severity),
            about=_about(person),
            data=script_json(columns(person, rejected, severity)),
            note=_thinned(person),
            rejections=_rejections(person, rejected, severity),
            revisions=_revisions(person),
        )
    return _whole(person.id, links, mark, body)


def failed_page(user: str, links: Neighbours, *, status: str, error: str) -> bytes:
    """Return the page of a user whose data could not be processed, so that links to it lead somewhere."""
    body = f'<p class="failure">This user could not be processed ({_text(status)}).</p><pre>{_text(error)}</pre>'
    return _whole(user, links, "", body)


def page_mark(digest: str, name: str, links: Neighbours) -> str:
    """Return what a page carries to show which data, neighbours and templates it was drawn from.

    Args:
        digest: of all that the user's `Person` holds
        name: the page's own file
        links: its neighbours
    """
    parts = (digest, name, links.previous, links.following, _made_of())
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=12).hexdigest()


def shared_assets() -> dict[str, bytes]:
    """Return the files that all pages share, by name; they lie beside plotly.min.js, one folder above the pages."""
    return {name: _content(f"assets/{name}") for name in _SHARED}


@cache
def _content(name: str) -> bytes:
    return files("raddle.workloads.weights.pages").joinpath(name).read_bytes()


@cache
def _made_of() -> str:
    """Return a digest of whatever decides the look of a page besides its data."""
    whole = hashlib.blake2b(digest_size=12)
    for name in (*_MADE_OF, *_CODE):
        whole.update(hashlib.blake2b(_content(name)).digest())
    return whole.hexdigest()


@cache
def _template(name: str) -> Template:
    return Template(_content(f"assets/{name}").decode())


def _text(text: str) -> str:
    return escape(text.encode("utf-8", "replace").decode())


def _whole(user: str, links: Neighbours, mark: str, body: str) -> bytes:
    return (
        _template("page.html")
        .substitute(
            mark=mark,
            user=_text(user),
            title=_text(user if len(user) <= _WORDS else user[:_WORDS] + "…"),
            previous=_link(links.previous, "prev", "← previous"),
            following=_link(links.following, "next", "next →"),
            body=body,
        )
        .encode()
    )


def _link(name: str, relation: str, text: str) -> str:
    return f'<a rel="{relation}" href="{escape(name)}">{text}</a>' if name else f"<span>{text}</span>"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _about(person: Person) -> str:
    sources = _count(len(np.unique(person.source)), "source")
    height = f" · height {person.height_m:.2f} m" if person.height_m > 0 else ""
    return f"{_count(len(person.line), 'reading')} from {sources}{height} · rules {_text(person.rules)}"


def _tiles(person: Person, severity: Bytes) -> str:
    total, wrong = len(person.line), len(severity)
    used = total - wrong
    first, last = times(person.time[[0, -1]], days=person.days)
    worst = [f"{count:,} {SEVERITIES[at]}" for at, count in _counted(severity)]
    unused = f"{person.unused:,} more unread" if person.unused else ""
    kinds = [(at, count) for at, count in _counted(person.reset) if at > 1]
    words = {"gap": "gap", "level change": "level", "manual entry": "by hand"}
    resets = ", ".join(f"{count:,} {words[str(RESETS[at])]}" for at, count in kinds)
    quality = person.field("quality")
    known = quality[(quality >= 0) & (quality <= 1)]
    threshold = person.facts.get("quality_threshold")
    needed = "of at most 1" if threshold is None else f"{threshold:g} needed"
    span = int(person.time[-1] - person.time[0]) // 86_400_000_000
    tiles = [
        *_now(person),
        ("readings", f"{total:,}", "", unused),
        ("accepted", f"{100 * used / total:.1f}", "%", f"{used:,} of {total:,}"),
        ("rejected", f"{wrong:,}", "", ", ".join(worst[:2])),
        ("resets", f"{sum(count for _, count in kinds):,}", "", resets or "one start only"),
        ("mean quality", f"{known.mean():.2f}" if len(known) else "–", "", needed if len(known) else ""),
        ("span", f"{span:,}", "day" if span == 1 else "days", f"{first[:10]} to {last[:10]}"),
    ]
    return "".join(
        f'<div class="tile"><dt>{name}</dt><dd><b>{value}</b> <span>{unit}</span>'
        f'<small title="{more}">{more}</small></dd></div>'
        for name, value, unit, more in tiles
    )


def _counted(codes: Bytes) -> list[tuple[int, int]]:
    return [(at, count) for at, count in enumerate(np.bincount(codes).tolist()) if count]


def _now(person: Person) -> list[tuple[str, str, str, str]]:
    """Return the tiles of where the user stands."""
    rows = np.flatnonzero(person.stage <= 1)
    if not len(rows):
        return [("weight", "–", "", "no reading was accepted"), ("trend", "–", "", "")]
    row = int(rows[-1])
    weight, trend, sigma, trend_sigma = person.out[:4, row].tolist()
    (when,) = times(person.time[[row]], days=person.days)
    near = f"±{2 * sigma:.{2 if weight < 20 else 1}f} · " if math.isfinite(sigma) else ""  # noqa: PLR2004 - kg
    tile = ("weight", kg(_known(weight)), "kg", f"{near}{when[:10] if not person.days else when}")
    if person.reset[row] or not math.isfinite(trend):
        return [tile, ("trend", "–", "", "one reading since the last reset" if person.reset[row] else "")]
    near = f"±{14 * trend_sigma:.2f} " if math.isfinite(trend_sigma) else ""
    return [tile, ("trend", signed(7 * trend).replace("-", "\N{MINUS SIGN}"), "", f"{near}kg/week")]


def _thinned(person: Person) -> str:
    if len(person.line) <= MOST_DRAWN:
        return ""
    return (
        f'<p class="quiet">Of {len(person.line):,} readings the chart draws the lowest and the highest of each '
        "stretch of time, and every rejected one unless there are thousands.</p>"
    )


def _rejections(person: Person, rows: Ints, severity: Bytes) -> str:
    if not len(rows):
        return '<section class="table"><h2>Rejections</h2><p class="quiet">No reading was rejected.</p></section>'
    kinds = categories(person, rows)
    shown = rows[:MOST_LISTED]
    own = {item.row: item for item in person.revisions}
    lines = "".join(
        f"<tr><td>{line}</td><td>{when}</td><td>{kg(_known(weight))}</td>"
        f'<td class="source">{_text(person.source_names[source][:_WORDS])}</td>'
        f'<td><i class="severity {SEVERITIES[degree]}"></i>{SEVERITIES[degree]}</td>'
        f'<td class="why">{_text(explain(person, row, own.get(row)))}</td></tr>'
        for row, line, when, weight, source, degree in zip(
            shown.tolist(),
            person.line[shown].tolist(),
            times(person.time[shown], days=person.days),
            person.weight[shown].tolist(),
            person.source[shown].tolist(),
            severity.tolist(),
            strict=False,
        )
    )
    return (
        f'<section class="table"><h2>Rejections</h2>{_matrix(kinds, severity)}'
        '<div class="scroll"><table class="list" id="rejections"><thead><tr><th>line</th><th>time</th><th>kg</th>'
        f"<th>source</th><th>severity</th><th>why</th></tr></thead><tbody>{lines}</tbody></table></div>"
        f"{_more(len(rows))}</section>"
    )


def _more(count: int) -> str:
    if count <= MOST_LISTED:
        return ""
    return f'<p class="quiet">The first {MOST_LISTED} of {count:,} are listed; results.parquet has them all.</p>'


def _matrix(kinds: Bytes, severity: Bytes) -> str:
    """Return the table of rejections by category and severity, without what did not happen."""
    width = len(SEVERITIES)
    counts = np.bincount(kinds.astype(np.int64) * width + severity, minlength=width * len(CATEGORIES))
    table = counts.reshape(-1, width).tolist()
    dot = "·"
    degrees = [at for at in range(width) if any(row[at] for row in table)]
    head = "".join(f'<th><i class="severity {SEVERITIES[at]}"></i>{SEVERITIES[at]}</th>' for at in degrees)
    lines = [(CATEGORIES[at], row) for at, row in enumerate(table) if any(row)]
    if len(lines) > 1:
        lines.append(("all", [sum(column) for column in zip(*table, strict=True)]))
    body = "".join(
        f"<tr><th>{name}</th>{''.join(f'<td>{row[at] or dot}</td>' for at in degrees)}<td>{sum(row)}</td></tr>"
        for name, row in lines
    )
    return (
        f'<div class="scroll"><table class="matrix"><thead><tr><th>category</th>{head}<th>all</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _revisions(person: Person) -> str:
    """Return the tables of the retrospective pass: the windows it looked into, and the results it changed."""
    if not (person.replays or person.revisions):
        return ""
    windows = "".join(
        f"<tr><td>{start} to {end}</td><td>{item.rows}</td><td>{len(item.outliers)}</td>"
        f"<td>{_text(_methods(item.methods))}</td><td>{kg(_known(item.before_kg))} → {kg(_known(item.after_kg))}</td>"
        f'<td class="why">{_text(item.verdict)}</td></tr>'
        for item in person.replays[:MOST_LISTED]
        for start, end in [times(np.array([item.start, item.end]), days=person.days)]
    )
    rows = np.array([item.row for item in person.revisions[:MOST_LISTED]], dtype=np.int64)
    changed = "".join(
        f"<tr><td>{line}</td><td>{when}</td><td>{kg(_known(weight))}</td>"
        f"<td>{_stages(item.old_stage, item.new_stage)}</td>"
        f"<td>{kg(_known(item.old_filtered))} → {kg(_known(item.new_filtered))}</td>"
        f'<td class="why">{"a replay of its window" if item.replay >= 0 else "readings that came later"}</td></tr>'
        for item, line, when, weight in zip(
            person.revisions[:MOST_LISTED],
            person.line[rows].tolist(),
            times(person.time[rows], days=person.days),
            person.weight[rows].tolist(),
            strict=True,
        )
    )
    looked = _table("window,readings,taken out,found by,filtered kg at its end,verdict", windows)
    revised = _table("line,time,kg,status,filtered kg,because of", changed)
    return (
        f'<section class="table"><h2>Looked at again afterwards</h2>{looked}{_more(len(person.replays))}'
        f"{revised}{_more(len(person.revisions))}</section>"
    )


def _table(heads: str, rows: str) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads.split(","))
    table = f'<table class="list"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="scroll">{table}</div>' if rows else ""


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _methods(methods: tuple[tuple[str, ...], ...]) -> str:
    return ", ".join(sorted({name.replace("_", " ") for found in methods for name in found})) or "–"


def _stages(old: int, new: int) -> str:
    names = [
        "accepted" if stage <= 1 else "taken out" if STAGES[stage] == "retrospective" else "rejected"
        for stage in (old, new)
    ]
    return names[0] if names[0] == names[1] else f"<b>{names[0]} → {names[1]}</b>"
