"""The charts of the population report, as the plain dicts that Plotly reads.

Colours are set by population.js from each trace's `meta.ink`, so that they follow light and dark.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from raddle.workloads.weights.pages.counts import CAUSES, SHARES
from raddle.workloads.weights.pages.periods import MONTH_DAYS, YEAR
from raddle.workloads.weights.text import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raddle.workloads.weights.pages.periods import Period

__all__ = [
    "EXPECTED",
    "INTERVAL_NAMES",
    "RESET_NAMES",
    "SHARE_NAMES",
    "by_cause",
    "by_interval",
    "by_quality",
    "by_share",
    "by_source",
    "by_time",
    "expected",
    "resets_by_time",
]

#: outliers in 1000 readings that the origin's table of sources expects (research, section 2.2)
EXPECTED = {
    "care-team-upload": 3.6,
    "patient-upload": 13.0,
    "internal-questionnaire": 14.0,
    "initial-questionnaire": 14.0,
    "patient-device": 20.7,
    "https://connectivehealth.io": 35.8,
    "https://api.iglucose.com": 151.4,
}
RESET_NAMES = ("after a gap", "change of level", "manual entry")
SHARE_NAMES = (
    "none",
    *(f"{f'{low:.0%}'[:-1] if low else 'over 0'} to {high:.0%}" for low, high in pairwise(SHARES)),
    f"over {SHARES[-1]:.0%}",
)
#: the same for an axis
_SHARE_TICKS = ("0 %", *(f"≤{high:.0%}" for high in SHARES[1:]), f">{SHARES[-1]:.0%}")
_INTERVAL_TICKS = ("<½ d", "<2 d", "<8 d", "<31 d", "<3 mo", "<1 y", "≥1 y")
INTERVAL_NAMES = (
    "under 12 h",
    "12 h to 2 days",
    "2 to 8 days",
    "8 to 31 days",
    "1 to 3 months",
    "3 to 12 months",
    "over a year",
)

_UNKNOWN_SOURCE = 20.0
_FEW = 8
_CATEGORIES = {"type": "category", "tickangle": 0, "showgrid": False}
_USED = 2  # the first two of STAGES
_RESETS_FROM = 2  # of RESETS: after "no" and "first reading"


def expected(source: str) -> float:
    """Return how many of 1000 readings of a source are expected to be outliers."""
    return EXPECTED.get(source, _UNKNOWN_SOURCE)


def by_time(cut: Sequence[Period], counts: Mapping[str, Sequence[Sequence[int]]], *, days: bool) -> dict[str, Any]:
    """Return readings of each period, accepted and rejected, and below the share rejected.

    Args:
        cut: periods
        counts: by name (sources, and one for all first), for each period a count for each of STAGES
        days: see `periods`
    """
    own = [at for at, period in enumerate(cut) if period.x is not None]
    choices = []
    for name, table in counts.items():
        used = [sum(table[at][:_USED]) for at in own]
        lost = [sum(table[at][_USED:]) for at in own]
        shares = [round(100 * b / (a + b), 2) if a + b else None for a, b in zip(used, lost, strict=True)]
        choices.append({"name": name[:80], "y": [used, lost, shares]})
    first = choices[0]["y"] if choices else [[], [], []]
    where = _time_axis(cut, days=days)
    names = [cut[at].label for at in own]
    x = {"x": [cut[at].x for at in own], "customdata": names, **where["trace"]}
    bar = {"type": "bar", "marker": {}, "hovertemplate": "%{customdata}: %{y:,} %{fullData.name}<extra></extra>"}
    traces = [
        {**x, **bar, "name": "accepted", "y": first[0], "meta": {"ink": "used"}},
        {**x, **bar, "name": "rejected", "y": first[1], "meta": {"ink": "bad"}},
        {
            **{key: value for key, value in x.items() if key != "width"},
            "type": "scatter",
            "mode": "lines+markers",
            "cliponaxis": False,
            "name": "rejected share",
            "y": first[2],
            "yaxis": "y2",
            "line": {"width": 1.8},
            "marker": {"size": 5},
            "hovertemplate": "%{customdata}: %{y:.2f} % rejected<extra></extra>",
            "meta": {"ink": "line"},
        },
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {**where["axis"], "anchor": "y2"},
        "yaxis": {"domain": [0.40, 1], "title": {"text": "readings"}, "rangemode": "tozero"},
        "yaxis2": {"domain": [0, 0.30], "title": {"text": "% rejected"}, "rangemode": "tozero", "nticks": 4},
    }
    return {"data": traces, "layout": layout, "choices": choices if len(choices) > 2 else []}  # noqa: PLR2004 - one source is all


def resets_by_time(cut: Sequence[Period], table: Sequence[Sequence[int]], *, days: bool) -> dict[str, Any]:
    """Return how often the filter was started anew, and why."""
    own = [at for at, period in enumerate(cut) if period.x is not None]
    where = _time_axis(cut, days=days)
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": [cut[at].x for at in own],
            "y": [table[at][_RESETS_FROM + kind] for at in own],
            "customdata": [cut[at].label for at in own],
            "marker": {},
            "hovertemplate": "%{customdata}: %{y:,} %{fullData.name}<extra></extra>",
            "meta": {"ink": ink},
            **where["trace"],
        }
        for kind, (name, ink) in enumerate(zip(RESET_NAMES, ("restart", "trend", "line"), strict=True))
        if any(counts[_RESETS_FROM + kind] for counts in table)
    ]
    few = max((sum(counts[_RESETS_FROM:]) for counts in table), default=0) <= _FEW
    y = {"title": {"text": "resets"}, **({"dtick": 1} if few else {})}  # no half resets
    layout = {"barmode": "stack", "xaxis": where["axis"], "yaxis": y}
    return {"data": traces, "layout": layout}


def by_source(rows: Sequence[tuple[str, Sequence[int]]]) -> dict[str, Any]:
    """Return the rejected of 1000 readings of each source beside what is expected."""
    names = [label(name, 28) or "(no source)" for name, _ in rows]
    measured = [round(1000 * sum(counts[_USED:]) / max(sum(counts), 1), 2) for _, counts in rows]
    places = list(range(len(rows)))
    bar = _across(places, measured, names)
    hover = "%{customdata}: %{x:.1f} in 1000 "
    return {
        "data": [
            {**bar, "name": "rejected", "hovertemplate": hover + "rejected<extra></extra>"},
            {
                "type": "scatter",
                "mode": "markers",
                "name": "expected",
                "x": [expected(name) for name, _ in rows],
                "y": places,
                "customdata": names,
                "marker": {"symbol": "line-ns", "size": 17, "line": {"width": 3}},
                "hovertemplate": hover + "expected<extra></extra>",
                "meta": {"ink": "line"},
            },
        ],
        "layout": _across_layout(places, names, "of 1000 readings"),
        "rows": len(rows),
    }


def by_cause(counts: Sequence[int]) -> dict[str, Any]:
    """Return what the rejected readings look like, most frequent first."""
    rows = sorted((pair for pair in zip(CAUSES, counts, strict=True) if pair[1]), key=lambda pair: -pair[1])
    places = list(range(len(rows)))
    names = [name for name, _ in rows]
    bar = _across(places, [count for _, count in rows], names)
    return {
        "data": [{**bar, "name": "readings", "hovertemplate": "%{x:,} %{customdata}<extra></extra>"}],
        "layout": _across_layout(places, names, "readings"),
        "rows": len(rows),
    }


def by_quality(quality: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return the distribution of the quality of accepted and rejected readings."""
    bins = len(quality[0]) - 1
    x = [round((at + 0.5) / bins, 4) for at in range(bins)]
    names = [f"{at / bins:.2f} to {(at + 1) / bins:.2f}" for at in range(bins)]
    traces = [
        {**_upright(x, counts[:-1], names), "name": name, "width": 1 / bins, "meta": {"ink": ink}}
        for name, counts, ink in zip(("accepted", "rejected"), quality, ("used", "bad"), strict=True)
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {"range": [0, 1], "title": {"text": "quality"}},
        "yaxis": {"title": {"text": "readings"}},
    }
    return {"data": traces, "layout": layout}


def by_share(shares: Sequence[int]) -> dict[str, Any]:
    """Return how many users have how much of their readings rejected."""
    trace = {**_upright(list(_SHARE_TICKS), shares[:-1], SHARE_NAMES), "name": "users", "meta": {"ink": "used"}}
    x = {**_CATEGORIES, "title": {"text": "of a user's readings rejected"}}
    layout = {"xaxis": x, "yaxis": {"title": {"text": "users"}}}
    return {"data": [trace], "layout": layout}


def by_interval(intervals: Sequence[int]) -> dict[str, Any]:
    """Return how long it was from one reading of a user to the next."""
    bar = _upright(list(_INTERVAL_TICKS), intervals, INTERVAL_NAMES)
    trace = {**bar, "name": "pairs of readings", "meta": {"ink": "used"}}
    return {"data": [trace], "layout": {"xaxis": _CATEGORIES, "yaxis": {"title": {"text": "pairs of readings"}}}}


def _upright(x: Sequence[Any], y: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": x,
        "y": list(y),
        "customdata": list(names),
        "marker": {},
        "hovertemplate": "%{customdata}: %{y:,} %{fullData.name}<extra></extra>",
    }


def _across(places: Sequence[int], x: Sequence[float], names: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "x": list(x),
        "y": list(places),
        "customdata": list(names),
        "marker": {},
        "meta": {"ink": "lost"},
    }


def _across_layout(places: Sequence[int], names: Sequence[str], title: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": title}, "rangemode": "tozero"},
        "yaxis": {
            "autorange": "reversed",
            "tickvals": list(places),
            "ticktext": list(names),
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
    }


def _time_axis(cut: Sequence[Period], *, days: bool) -> dict[str, Any]:
    drawn = [period for period in cut if period.x is not None]
    months = (drawn[0].end or 0) - (drawn[0].first or 0) if drawn else 1
    if not days:
        return {"axis": {"type": "date"}, "trace": {"xperiod": f"M{months}", "xperiodalignment": "middle"}}
    years = bool(drawn) and (drawn[-1].end or 0) > 2 * YEAR
    wide = months / YEAR if years else months * MONTH_DAYS
    axis = {"type": "linear", "title": {"text": "years" if years else "days"}}
    return {"axis": axis, "trace": {"width": round(wide, 6)}}
