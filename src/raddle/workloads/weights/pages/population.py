"""The population report: one page on what became of all rows. Every chart has its numbers in a table beside it."""

from __future__ import annotations

from html import escape
from string import Template
from typing import TYPE_CHECKING, Any

from raddle.workloads.weights.pages import figures_population as figures
from raddle.workloads.weights.pages.counts import (
    CAUSES,
    INGEST_REASONS,
    QUALITIES,
    count_chunk,
    merge_counts,
    no_counts,
)
from raddle.workloads.weights.pages.index import count_text, index_assets, page_asset
from raddle.workloads.weights.pages.periods import periods, series
from raddle.workloads.weights.text import script_json
from raddle.workloads.weights.values import RESETS, STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from raddle.workloads.weights.pages.periods import Period

__all__ = ["count_chunk", "index_assets", "merge_counts", "no_counts", "population_page"]

_USED = 2  # the first two of STAGES
_MOST_SOURCES = 60  # in the table
_DRAWN_SOURCES = 14
_CHOICES = 12
#: what a stage says of a rejected reading; the order of the columns
_STAGE_WORDS = {
    "kalman_deviation": "too far from the expected",
    "quality_scoring": "quality too low",
    "physiological": "no human weight",
    "preprocessing": "implausible body mass",
    "retrospective": "taken back later",
}


def population_page(
    counts: Mapping[str, Any] | None, *, title: str, days: bool, rows_read: int, rejected: Mapping[str, int]
) -> bytes:
    """Return population.html.

    Args:
        counts: of all chunks; None: there were none
        title: the input's name
        days: times count from birth or start
        rows_read: rows of the input, used or not
        rejected: rows not used, by reason
    """
    counts = no_counts() if counts is None else counts
    sources = _sources(counts["cells"])
    months: dict[str, list[int]] = {}
    for cells in counts["cells"].values():
        months = merge_counts(months, cells)
    cut = periods({int(month): sum(stages) for month, stages in months.items()}, days=days)
    over_time = {"all sources": series(months, cut, len(STAGES))}
    for name, _ in sources[:_CHOICES]:
        over_time[name or "(no source)"] = series(counts["cells"][name], cut, len(STAGES))
    resets = series(counts["resets"], cut, len(RESETS))
    charts = {
        "time": figures.by_time(cut, over_time, days=days),
        "sources": figures.by_source(_most(sources, _DRAWN_SOURCES)),
        "causes": figures.by_cause(counts["causes"]),
        "quality": figures.by_quality(counts["quality"]),
        "shares": figures.by_share(counts["shares"]),
        "resets": figures.resets_by_time(cut, resets, days=days),
        "intervals": figures.by_interval(counts["intervals"]),
    }
    shares = (*figures.SHARE_NAMES, "no readings")
    stages = [sum(own[at] for _, own in sources) for at in range(len(STAGES))]
    return (
        Template(page_asset("population.html"))
        .substitute(
            title=escape(title),
            lead=_lead(stages, rows_read, rejected, counts),
            strays=_strays(cut, over_time["all sources"]),
            time=_time_table(cut, over_time["all sources"]),
            sources=_source_table(sources),
            stages=_stage_table(stages),
            causes=_count_table("looks like", "readings", zip(CAUSES, counts["causes"], strict=True)),
            reasons=_reason_table(rejected),
            quality=_quality_table(counts["quality"]),
            shares=_count_table("rejected share", "users", zip(shares, counts["shares"], strict=True)),
            resets=_reset_table(cut, resets),
            intervals=_count_table(
                "time", "pairs of readings", zip(figures.INTERVAL_NAMES, counts["intervals"], strict=True)
            ),
            figures=script_json(charts),
        )
        .encode("utf-8", "replace")
    )


def _sources(cells: Mapping[str, Mapping[str, Sequence[int]]]) -> list[tuple[str, list[int]]]:
    """Return the counts of stages of each source, the one with most readings first."""
    totals = [(name, [sum(column) for column in zip(*months.values(), strict=True)]) for name, months in cells.items()]
    return sorted(totals, key=lambda pair: (-sum(pair[1]), pair[0]))


def _most(sources: Sequence[tuple[str, list[int]]], most: int) -> list[tuple[str, list[int]]]:
    """Return the largest sources, and the others as one."""
    if len(sources) <= most:
        return list(sources)
    rest = [sum(column) for column in zip(*(own for _, own in sources[most - 1 :]), strict=True)]
    return [*sources[: most - 1], (f"{len(sources) - most + 1:,} other sources", rest)]


def _lead(stages: Sequence[int], rows_read: int, rejected: Mapping[str, int], counts: Mapping[str, Any]) -> str:
    unused, readings, accepted = sum(rejected.values()), sum(stages), sum(stages[:_USED])
    again = sum(sum(kinds[2:]) for kinds in counts["resets"].values())
    tiles = [
        ("users", f"{counts['users']:,}", f"{readings / counts['users']:.1f} readings each" if counts["users"] else ""),
        ("rows read", f"{rows_read:,}", ""),
        ("not used", f"{unused:,}", _percent(unused, rows_read, " of the rows")),
        ("accepted", f"{accepted:,}", _percent(accepted, readings, " of the readings")),
        ("rejected", f"{readings - accepted:,}", _percent(readings - accepted, readings, " of the readings")),
        ("resets", f"{again:,}", f"{again / counts['users']:.2f} a user" if counts["users"] else ""),
    ]
    return "".join(
        f'<div class="tile"><dt>{name}</dt><dd><b>{value}</b><small>{more}</small></dd></div>'
        for name, value, more in tiles
    )


def _source_table(sources: Sequence[tuple[str, list[int]]]) -> str:
    stages = [at for at in range(_USED, len(STAGES)) if any(own[at] for _, own in sources)]
    rows = []
    for name, own in _most(sources, _MOST_SOURCES):
        total, lost = sum(own), sum(own[_USED:])
        rows.append(
            [
                name[:200] or "(no source)",
                f"{total:,}",
                f"{total - lost:,}",
                f"{lost:,}",
                *(f"{own[at]:,}" for at in stages),
                _percent(lost, total),
                f"{1000 * lost / total:.1f}" if total else "–",
                f"{figures.expected(name):.1f}",
            ]
        )
    words = [_STAGE_WORDS[STAGES[at]] for at in stages]
    head = ["source", "readings", "accepted", "rejected", *words, "share", "of 1000", "expected"]
    return _table(head, rows)


def _strays(cut: Sequence[Period], table: Sequence[Sequence[int]]) -> str:
    """Say that a few rows are not in the chart: one wrong year would make it a line."""
    left_out = sum(sum(stages) for period, stages in zip(cut, table, strict=True) if period.x is None)
    are = "is" if left_out == 1 else "are"
    note = f"{count_text(left_out, 'reading')} far before or after the others {are} in the table only."
    return f'<p class="quiet">{note}</p>' if left_out else ""


def _time_table(cut: Sequence[Period], table: Sequence[Sequence[int]]) -> str:
    rows = []
    for period, stages in zip(cut, table, strict=True):
        total, lost = sum(stages), sum(stages[_USED:])
        rows.append([period.label, f"{total:,}", f"{total - lost:,}", f"{lost:,}", _percent(lost, total)])
    return _table(["period", "readings", "accepted", "rejected", "share"], rows)


def _reset_table(cut: Sequence[Period], table: Sequence[Sequence[int]]) -> str:
    rows = [[period.label, *(f"{count:,}" for count in kinds[2:])] for period, kinds in zip(cut, table, strict=True)]
    return _table(["period", *figures.RESET_NAMES], rows)


def _stage_table(stages: Sequence[int]) -> str:
    words = {"initialization": "accepted, filter started with it", "accepted": "accepted", **_STAGE_WORDS}
    rows = [
        [words[name], f"{count:,}", _percent(count, sum(stages))]
        for name, count in zip(STAGES, stages, strict=True)
        if count
    ]
    return _table(["readings that were", "readings", "share"], rows)


def _reason_table(rejected: Mapping[str, int]) -> str:
    whole = sum(rejected.values())
    if not whole:
        return '<p class="quiet">Every row was used.</p>'
    pairs = sorted(rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [
        [INGEST_REASONS.get(reason, reason.replace("_", " ")), f"{count:,}", _percent(count, whole)]
        for reason, count in pairs
        if count
    ]
    return _table(["rows that were not used", "rows", "share"], rows)


def _quality_table(quality: Sequence[Sequence[int]]) -> str:
    bins = QUALITIES - 1
    names = [*(f"{at / bins:.2f} to {(at + 1) / bins:.2f}" for at in range(bins)), "not known"]
    rows = [[name, f"{used:,}", f"{lost:,}"] for name, used, lost in zip(names, *quality, strict=True)]
    return _table(["quality", "accepted", "rejected"], rows)


def _count_table(first: str, second: str, pairs: Iterable[tuple[str, int]]) -> str:
    rows = list(pairs)
    whole = sum(count for _, count in rows)
    return _table([first, second, "share"], [[name, f"{count:,}", _percent(count, whole)] for name, count in rows])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cells(tag: str, texts: Sequence[str]) -> str:
        first, *others = (escape(text) for text in texts)
        scope = "row" if tag == "td" else "col"
        return f'<th scope="{scope}">{first}</th>' + "".join(f'<{tag} class="n">{text}</{tag}>' for text in others)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{body}</tbody></table></div>'


def _percent(part: int, whole: int, of: str = "") -> str:
    return f"{100 * part / whole:.1f} %{of}" if whole else "" if of else "–"
