"""From cells to columns of numbers: in bulk where the text is plain, cell by cell with `fields` where it is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.ingest import fields, kernels
from raddle.workloads.weights.ingest.fields import REASONS, WHITE, Refused
from raddle.workloads.weights.ingest.units import UNKNOWN, V2_KG, unit_code
from raddle.workloads.weights.rules.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from raddle.workloads.weights.ingest.csvfast import Cells
    from raddle.workloads.weights.ingest.select import Selection
    from raddle.workloads.weights.values import Bytes, Floats, Ints

    Codes = NDArray[np.int32]

__all__ = ["Decoder", "Names", "Source", "Table", "reason_code"]


def reason_code(name: str) -> int:
    """Return the code of a reason."""
    return REASONS.index(name)


_WHERE: Final = reason_code("where")
_UNIT_NOT_WEIGHT: Final = reason_code("unit_not_weight")
_UNKNOWN_UNIT: Final = reason_code("unknown_unit")
_NO_WEIGHT: Final = reason_code("no_weight")
_NOT_A_NUMBER: Final = reason_code("not_a_number")
_OUT_OF_RANGE: Final = reason_code("out_of_range")
_BAD_TIME: Final = reason_code("bad_time")
_DATE_RANGE: Final = reason_code("date_range")
_TOO_FEW: Final = reason_code("too_few_readings")
_KG: Final = np.array(V2_KG)


@dataclass(slots=True)
class Names:
    """Texts by code, and codes by text."""

    texts: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    def code(self, text: str) -> int:
        """Return the code of a text; a new one if it is new."""
        code = self.codes.setdefault(text, len(self.texts))
        if code == len(self.texts):
            self.texts.append(text)
        return code


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows, decoded, and where some were refused why."""

    line: Ints
    #: code of REASONS; 0: the row is used
    reason: Bytes
    #: code of a user in `Decoder.users`; -1: the row names nobody
    user: Codes
    time: Ints
    value: Floats
    unit: Bytes
    #: code of a source in `Decoder.sources`
    source: Codes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Cells of some rows in bulk, by what they mean. Numbers may stand in for texts (NaN, NO_TIME: null)."""

    user: Cells | None
    time: Cells | Ints | Floats
    weight: Cells | Floats
    unit: Cells | None = None
    source: Cells | None = None
    where: tuple[tuple[Cells, frozenset[str]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """What is needed to understand rows of one file; `users` and `sources` are shared by all files and grow."""

    users: Names
    sources: Names
    selection: Selection
    days: bool
    #: v2: what is no known unit is refused, and the range is one of kg
    strict: bool
    #: where no cell says them
    fixed_user: str | None = None
    fixed_unit: str = ""
    fixed_source: str = "unknown"
    parse_time: Callable[[str], str | None] | None = None

    # ------------------------------------------------------------------------------------------------- one by one

    def one(self, user: str, time: str, weight: str, unit: str, source: str) -> tuple[int, int, int, float, int, int]:
        """Return reason, user, time, value, unit and source of one row; the numbers are 0 from where it was refused."""
        who, tick, value, code, origin = -1, 0, 0.0, 0, 0
        try:
            name = fields.parse_user(user)
            who = self.users.code(name)
            verdict = self.selection.verdict(name)
            if verdict and verdict != _TOO_FEW:
                return verdict, who, tick, value, code, origin
            source = source.strip(WHITE) or self.fixed_source
            code = fields.parse_unit(unit, source, strict=self.strict)
            value = fields.parse_weight(weight.strip(WHITE), code, strict=self.strict)
            tick = self._tick(time)
            if not self.selection.since <= tick <= self.selection.until:
                return _DATE_RANGE, who, tick, value, code, origin
            origin = self.sources.code(source)
        except Refused as refusal:
            return reason_code(str(refusal)), who, tick, value, code, origin
        return verdict, who, tick, value, code, origin

    def _tick(self, text: str) -> int:
        text = text.strip(WHITE)
        if self.days:
            return fields.parse_days(text)
        if self.parse_time is not None:
            iso = self.parse_time(text)
            if iso is None:
                raise Refused("bad_time")
            text = iso
        return fields.parse_time(text)

    # ------------------------------------------------------------------------------------------------------ in bulk

    def bulk(self, line: Ints, cells: Source) -> tuple[Table, Codes, list[str]]:
        """Decode rows; return them, and as they were written the users: a code for each row, and their texts."""
        count = len(line)
        reason = np.zeros(count, np.uint8)
        for column, wanted in cells.where:
            codes, texts = _distinct(column)
            _refuse(reason, np.array([text in wanted for text in texts], bool)[codes], _WHERE, unless=True)
        if cells.user is None:
            names, texts = np.zeros(count, np.int32), [self.fixed_user or ""]
        else:
            names, texts = _distinct(cells.user)
        people, verdicts, late = self._people(texts, names, reason)
        _refuse(reason, verdicts[names])
        unit, source = self._units(reason, cells)
        value = self._values(reason, cells.weight, unit)
        time = self._times(reason, cells.time)
        outside = (time < self.selection.since) | (time > self.selection.until)
        _refuse(reason, outside, _DATE_RANGE)
        if late is not None:
            _refuse(reason, late[names])
        return Table(line, reason, people[names], time, value, unit, source), names, texts

    def _people(self, texts: list[str], names: Codes, reason: Bytes) -> tuple[Codes, Bytes, Bytes | None]:
        """Return code and reason of each user, and a reason that counts last. Only who has rows left is registered."""
        codes, verdicts = np.full(len(texts), -1, np.int32), np.zeros(len(texts), np.uint8)
        late = np.zeros(len(texts), np.uint8)
        wanted = range(len(texts)) if not reason.any() else np.unique(names[reason == 0]).tolist()
        for at in wanted:
            try:
                user = fields.parse_user(texts[at])
            except Refused as refusal:
                verdicts[at] = reason_code(str(refusal))
                continue
            codes[at] = self.users.code(user)
            verdict = self.selection.verdict(user)
            (late if verdict == _TOO_FEW else verdicts)[at] = verdict
        return codes, verdicts, late if late.any() else None

    def _units(self, reason: Bytes, cells: Source) -> tuple[Bytes, Codes]:
        count = len(reason)
        units, unit_texts = (
            (np.zeros(count, np.int32), [self.fixed_unit]) if cells.unit is None else _distinct(cells.unit)
        )
        sources, source_texts = (np.zeros(count, np.int32), [""]) if cells.source is None else _distinct(cells.source)
        source_texts = [text or self.fixed_source for text in source_texts]
        of_unit = np.array([unit_code(text) for text in unit_texts], np.uint8)
        no_weight = np.array(["m2" in text.lower() or "m²" in text.lower() for text in unit_texts], bool)
        surface = np.array(["bsa" in text.lower() for text in source_texts], bool)
        if no_weight.any() or surface.any():
            _refuse(reason, no_weight[units] | surface[sources], _UNIT_NOT_WEIGHT)
        unit: Bytes = of_unit[units]
        if self.strict and (of_unit == UNKNOWN).any():
            _refuse(reason, unit == UNKNOWN, _UNKNOWN_UNIT)
        # rows that are refused name no source
        used = np.zeros(len(source_texts), bool)
        used[sources if not reason.any() else sources[reason == 0]] = True
        codes = np.array([self.sources.code(text) if used[at] else 0 for at, text in enumerate(source_texts)], np.int32)
        return unit, codes[sources]

    def _values(self, reason: Bytes, column: Cells | Floats, unit: Bytes) -> Floats:
        if isinstance(column, np.ndarray):
            value = column
            _refuse(reason, np.isnan(value), _NO_WEIGHT)
        else:
            value = np.empty(len(column.starts))
            compiled(kernels).numbers(column.buf, column.starts, column.ends, value)
            for at in np.flatnonzero(np.isnan(value) & (reason == 0)).tolist():
                text = column.text(at).strip(WHITE)
                number = None if fields.is_missing(text) else fields.parse_number(text)
                if number is None:
                    reason[at] = _NO_WEIGHT if fields.is_missing(text) else _NOT_A_NUMBER
                else:
                    value[at] = number
        kilograms = value * _KG[unit] if self.strict else value
        _refuse(reason, (kilograms > 0.0) & (kilograms <= fields.MOST_KG), _OUT_OF_RANGE, unless=True)
        return value

    def _times(self, reason: Bytes, column: Cells | Ints | Floats) -> Ints:
        if isinstance(column, np.ndarray):
            return self._ready_times(reason, column)
        starts, ends = column.starts, column.ends
        if self.days:
            days = np.empty(len(starts))
            compiled(kernels).numbers(column.buf, starts, ends, days)
            odd = ~(np.abs(days) <= fields.MOST_DAYS)
            time: Ints = np.rint(np.where(odd, 0.0, days) * kernels.DAY).astype(np.int64)
        else:
            time = np.full(len(starts), kernels.NO_TIME)
            if self.parse_time is None:
                compiled(kernels).ticks(column.buf, starts, ends, fields.FIRST_TICK, fields.LAST_TICK, time)
            odd = time == kernels.NO_TIME
        for at in np.flatnonzero(odd & (reason == 0)).tolist():
            try:
                time[at] = self._tick(column.text(at))
            except Refused as refusal:
                reason[at] = reason_code(str(refusal))
        return time

    def _ready_times(self, reason: Bytes, column: Ints | Floats) -> Ints:
        if self.days:
            odd = ~(np.abs(column) <= fields.MOST_DAYS)  # NaN too
            ready: Ints = np.rint(np.where(odd, 0.0, column) * kernels.DAY).astype(np.int64)
        else:
            ready = column.astype(np.int64)
            odd = (ready < fields.FIRST_TICK) | (ready > fields.LAST_TICK)
        _refuse(reason, odd, _BAD_TIME)
        return ready


def _refuse(reason: Bytes, which: Any, code: int | None = None, *, unless: bool = False) -> None:
    """Give rows that have none yet a reason: `which` says which ones, or without a code it is the reasons."""
    if code is None:
        np.copyto(reason, which, where=reason == 0)
    else:
        reason[(~which if unless else which) & (reason == 0)] = code


def _distinct(cells: Cells) -> tuple[Codes, list[str]]:
    """Return a code for each cell, and the texts by code, stripped (so that two may be the same)."""
    count = len(cells.starts)
    size = 1 << max(4, (2 * count).bit_length())
    table, firsts = np.full(size, -1, np.int32), np.empty(count, np.int32)
    codes = np.empty(count, np.int32)
    found = compiled(kernels).group(cells.buf, cells.starts, cells.ends, table, codes, firsts)
    texts: Sequence[str] = [cells.text(at).strip(WHITE) for at in firsts[:found].tolist()]
    return codes, list(texts)
