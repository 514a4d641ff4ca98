"""One user's chart as the plain dicts that Plotly reads; no plotly import, which would cost 100 times the drawing.

Upper panel: readings by source, the filtered weight with two standard deviations either side, what was rejected, where
the filter was started anew. Lower panel: the trend. Colours that differ between light and dark are set by page.js from
each trace's `meta.ink`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from raddle.workloads.weights.text import axis_value, label, moment
from raddle.workloads.weights.values import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raddle.workloads.weights.values import Readings, UserResult

__all__ = ["figure", "rejection"]

Trace = dict[str, Any]

_COLOURS = ("#3d85c6", "#2a9d6f", "#e0902f", "#9b6bd3", "#c75d92", "#5aa7a7")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "star")
_REJECTED = "#d93f3f"
_OTHER = "other sources"
_MOST_LINES = 14


def figure(readings: Readings, result: UserResult) -> dict[str, Any]:
    """Return traces and layout."""
    x = [axis_value(ticks, days=readings.days) for ticks in readings.times]
    accepted = [at for at, stage in enumerate(result.stages) if stage <= 1]
    low, high = _range(readings, result, accepted)
    traces = [
        *_band(result, accepted, x),
        *_line(result, accepted, x),
        *_restarts(readings, result, x, (low, high)),
        *_accepted(readings, result, accepted, x),
        *_rejected(readings, result, x, (low, high)),
        *_trend(result, accepted, x),
    ]
    return {"data": traces, "layout": _layout(readings, low, high)}


def _range(readings: Readings, result: UserResult, accepted: list[int]) -> tuple[float, float]:
    """Return the kilograms to show: all that is accepted, and rejected readings that are not too far off."""
    weights = readings.weights_kg
    if not accepted:
        low, high = min(weights), max(weights)
    else:
        low = min(min(weights[at], _below(result, at)) for at in accepted)
        high = max(max(weights[at], _above(result, at)) for at in accepted)
    span = max(high - low, 0.04 * high)
    near = [
        weights[at]
        for at, stage in enumerate(result.stages)
        if stage > 1 and low - 0.6 * span <= weights[at] <= high + 0.6 * span
    ]
    low, high = min([low, *near]), max([high, *near])
    pad = 0.08 * max(high - low, 0.04 * high)
    return round(max(0.0, low - pad), 3), round(high + pad, 3)


def _below(result: UserResult, at: int) -> float:
    return (result.filtered_kg[at] or 0.0) - 2 * (result.sigma_kg[at] or 0.0)


def _above(result: UserResult, at: int) -> float:
    return (result.filtered_kg[at] or 0.0) + 2 * (result.sigma_kg[at] or 0.0)


def _pieces(result: UserResult, accepted: list[int]) -> Iterable[list[int]]:
    """Yield the accepted readings from one start of the filter to the next."""
    piece: list[int] = []
    for at in accepted:
        if at in result.restarts and piece:
            yield piece
            piece = []
        piece.append(at)
    if piece:
        yield piece


def _band(result: UserResult, accepted: list[int], x: list[Any]) -> list[Trace]:
    """Return the band as one closed outline per piece: a plain fill would bridge the gaps."""
    xs: list[Any] = []
    ys: list[float | None] = []
    for piece in _pieces(result, accepted):
        if len(piece) < 2:  # noqa: PLR2004 - a point has no band
            continue
        if xs:
            xs.append(None)
            ys.append(None)
        xs += [x[at] for at in piece] + [x[at] for at in reversed(piece)]
        ys += [_round(_above(result, at)) for at in piece] + [_round(_below(result, at)) for at in reversed(piece)]
    if not xs:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "±2 standard deviations",
            "x": xs,
            "y": ys,
            "fill": "toself",
            "line": {"width": 0},
            "hoverinfo": "skip",
            "meta": {"ink": "band"},
        }
    ]


def _line(result: UserResult, accepted: list[int], x: list[Any]) -> list[Trace]:
    xs: list[Any] = []
    ys: list[float | None] = []
    far_x: list[Any] = []
    far_y: list[float | None] = []
    before = -1
    for at in accepted:
        if at in result.restarts and before >= 0:
            xs.append(None)
            ys.append(None)
            far_x += [x[before], x[at], None]
            far_y += [_round(result.filtered_kg[before]), _round(result.filtered_kg[at]), None]
        xs.append(x[at])
        ys.append(_round(result.filtered_kg[at]))
        before = at
    traces: list[Trace] = []
    if far_x:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "across a restart",
                "x": far_x,
                "y": far_y,
                "line": {"width": 1, "dash": "dot"},
                "hoverinfo": "skip",
                "meta": {"ink": "faint", "with": "filtered weight"},
            }
        )
    if xs:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "filtered weight",
                "x": xs,
                "y": ys,
                "line": {"width": 2.2},
                "hoverinfo": "skip",
                "meta": {"ink": "line"},
            }
        )
    return traces


def _restarts(readings: Readings, result: UserResult, x: list[Any], span: tuple[float, float]) -> list[Trace]:
    xs: list[Any] = []
    ys: list[float | None] = []
    told: list[str | None] = []
    low, high = span
    if len(result.restarts) > _MOST_LINES:  # ticks at the bottom, lest they hide the readings
        high = low + 0.05 * (high - low)
    for at, why in sorted(result.restarts.items()):
        if why == "first reading":
            continue
        text = _why(readings, result, at, why)
        xs += [x[at], x[at], None]
        ys += [low, high, None]
        told += [text, text, None]
    if not xs:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "filter restarted",
            "x": xs,
            "y": ys,
            "customdata": told,
            "line": {"width": 1, "dash": "dash" if len(xs) <= 3 * _MOST_LINES else "solid"},
            "hovertemplate": "%{customdata}<extra></extra>",
            "meta": {"ink": "restart"},
        }
    ]


def _why(readings: Readings, result: UserResult, at: int, why: str) -> str:
    if why != "gap":
        return f"filter restarted: {why}, {result.innovation_kg[at] or 0.0:+.1f} kg"
    before = max((other for other in range(at) if result.stages[other] <= 1), default=at)
    days = (readings.times[at] - readings.times[before]) / readings.ticks_per_day
    return f"filter restarted: {days:.0f} days without an accepted reading"


def _accepted(readings: Readings, result: UserResult, accepted: list[int], x: list[Any]) -> list[Trace]:
    counted = Counter(readings.sources[at] for at in accepted)
    most = sorted(counted, key=lambda source: (-counted[source], readings.source_names[source]))
    shown = most if len(most) <= len(_COLOURS) else most[: len(_COLOURS) - 1]
    traces: list[Trace] = []
    for number, source in enumerate(shown):
        own = [at for at in accepted if readings.sources[at] == source]
        traces.append(_markers(readings, result, own, x, name=label(readings.source_names[source]), number=number))
    rest = [at for at in accepted if readings.sources[at] not in set(shown)]
    if rest:
        traces.append(_markers(readings, result, rest, x, name=_OTHER, number=len(_COLOURS) - 1))
    return traces


def _markers(readings: Readings, result: UserResult, own: list[int], x: list[Any], *, name: str, number: int) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [x[at] for at in own],
        "y": [_round(readings.weights_kg[at]) for at in own],
        "customdata": [_facts(readings, result, at) for at in own],
        "marker": {
            "size": 6,
            "color": _COLOURS[number],
            "symbol": _SYMBOLS[number],
            "opacity": 0.75,
            "line": {"width": 0},
        },
        "hovertemplate": "<b>%{y:.2f} kg</b> %{customdata[0]}<br>filtered %{customdata[1]:.2f} kg, "
        "%{customdata[2]:+.2f} kg/week<br>%{customdata[3]:+.2f} kg from what was expected<br>"
        "line %{customdata[4]}" + f"<extra>{name}</extra>",
    }


def _facts(readings: Readings, result: UserResult, at: int) -> list[Any]:
    trend = result.trend_kg_day[at]
    return [
        moment(readings.times[at], days=readings.days),
        _round(result.filtered_kg[at]),
        None if trend is None else _round(trend * 7),
        _round(result.innovation_kg[at]),
        readings.lines[at],
    ]


def _rejected(readings: Readings, result: UserResult, x: list[Any], span: tuple[float, float]) -> list[Trace]:
    """Return the rejected readings; those beyond the range sit at its edge as arrows, and tell their true weight."""
    low, high = span
    inset = 0.025 * (high - low)
    own = [at for at, stage in enumerate(result.stages) if stage > 1]
    if not own:
        return []
    weights = [readings.weights_kg[at] for at in own]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "rejected",
            "x": [x[at] for at in own],
            "y": [_round(min(high - inset, max(low + inset, weight))) for weight in weights],
            "customdata": [
                [
                    moment(readings.times[at], days=readings.days),
                    _round(readings.weights_kg[at]),
                    rejection(result, at),
                    readings.lines[at],
                    label(readings.source_names[readings.sources[at]]),
                ]
                for at in own
            ],
            "marker": {
                "size": 9,
                "color": _REJECTED,
                "line": {"width": 1.4, "color": _REJECTED},
                "symbol": [
                    "triangle-down" if weight < low else "triangle-up" if weight > high else "x-thin"
                    for weight in weights
                ],
            },
            "hovertemplate": "<b>%{customdata[1]:.2f} kg, rejected</b> %{customdata[0]}<br>%{customdata[2]}<br>"
            "%{customdata[4]}, line %{customdata[3]}<extra></extra>",
            "meta": {"ink": "rejected"},
        }
    ]


def rejection(result: UserResult, at: int) -> str:
    """Say in words why a reading was rejected."""
    innovation, allowed, expected = result.innovation_kg[at], result.allowed_kg[at], result.filtered_kg[at]
    if STAGES[result.stages[at]] == "physiological":
        return "no human weight"
    if innovation is None or allowed is None or expected is None:
        return "nothing to compare it with"
    if abs(innovation) <= allowed:
        return "the readings around it speak against it"
    return f"{innovation:+.1f} kg from the expected {expected:.1f} kg; up to {allowed:.1f} kg is believed"


def _trend(result: UserResult, accepted: list[int], x: list[Any]) -> list[Trace]:
    xs: list[Any] = []
    ys: list[float | None] = []
    sigmas: list[float | None] = []
    for piece in _pieces(result, accepted):
        if len(piece) < 2:  # noqa: PLR2004 - one reading has no trend
            continue
        if xs:
            xs.append(None)
            ys.append(None)
            sigmas.append(None)
        xs += [x[at] for at in piece]
        ys += [_round(7 * (result.trend_kg_day[at] or 0.0)) for at in piece]
        sigmas += [_round(14 * (result.trend_sigma[at] or 0.0), 2) for at in piece]
    if not xs:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "trend",
            "x": xs,
            "y": ys,
            "yaxis": "y2",
            "customdata": sigmas,
            "line": {"width": 1.8},
            "hovertemplate": "%{y:+.2f} ± %{customdata:.2f} kg/week<extra></extra>",
            "meta": {"ink": "trend"},
        }
    ]


def _layout(readings: Readings, low: float, high: float) -> dict[str, Any]:
    x = {"type": "linear", "title": {"text": "days"}} if readings.days else {"type": "date"}
    return {
        "xaxis": {
            **x,
            "anchor": "y2",
            "zeroline": False,
            "showspikes": True,
            "spikemode": "across",
            "spikethickness": 1,
            "spikedash": "dot",
        },
        "yaxis": {
            "domain": [0.30, 1],
            "range": [low, high],
            "title": {"text": "kg"},
            "zeroline": False,
            "showspikes": False,
        },
        "yaxis2": {
            "domain": [0, 0.22],
            "title": {"text": "kg/week"},
            "zeroline": True,
            "nticks": 5,
            "showspikes": False,
        },
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "showlegend": False,  # page.js makes one that wraps on a phone
        "dragmode": "zoom",
        "margin": {"l": 58, "r": 14, "t": 8, "b": 42},
    }


def _round(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
