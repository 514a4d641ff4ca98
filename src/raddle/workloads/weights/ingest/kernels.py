# ruff: noqa: C901, PLR0912, PLR0917, PLR2004 - loops over bytes, which are numbers, with columns as arguments
"""Loops over the bytes of a block, for `rules.compiled`. They take what is plain and leave the rest to `fields`.

Positions are offsets in `buf`. Whatever is taken here, the careful functions would take for the same value.
"""

from __future__ import annotations

import math
from typing import Any, Final

__all__ = [
    "BLANK",
    "DAY",
    "FAST",
    "FOLLOWS",
    "MALFORMED",
    "NO_TIME",
    "SLOW",
    "group",
    "numbers",
    "place",
    "refused_lines",
    "ticks",
    "tokenise",
]

# kinds of lines
FAST, SLOW, BLANK, MALFORMED, FOLLOWS = range(5)  #: the last: inside a record that began earlier

#: a text that `ticks` does not understand
NO_TIME: Final = -(2**63)

_QUOTE, _LF, _CR, _NUL = 34, 10, 13, 0
_LONGEST: Final = 131_072  # a cell with more characters is refused; a line with fewer bytes has none
DAY: Final = 86_400_000_000
_EXACT: Final = 2**53
_POWERS: Final = tuple(10.0**power for power in range(23))  # all exact


def tokenise(
    buf: Any,
    at: int,
    end: int,
    mark: Any,
    width: int,
    slots: Any,
    begin: Any,
    stop: Any,
    kind: Any,
    starts: Any,
    ends: Any,
) -> tuple[int, int]:
    """Cut lines into cells, as many lines as `begin` has room for; return how many, and where the next one begins.

    mark: 1 for the delimiter, line ends and NUL, by byte. slots: by column, the row of `starts` and `ends` for its
    cells, or -1. A line with anything but whole quoted cells and plain ones is SLOW; cells of FAST lines only are told.
    """
    lines = 0
    while at < end and lines < begin.shape[0]:
        begin[lines] = at
        k, column, odd, quoted = at, 0, False, False
        while True:
            if k < end and buf[k] == _QUOTE:
                quoted = True
                k += 1
                cell = k
                while k < end and buf[k] != _QUOTE and buf[k] != _LF and buf[k] != _CR and buf[k] != _NUL:
                    k += 1
                past = k
                if k >= end or buf[k] != _QUOTE:
                    odd = True
                else:
                    k += 1
                    odd = k < end and mark[buf[k]] == 0
            else:
                cell = k
                while k < end and mark[buf[k]] == 0:
                    k += 1
                past = k
            if odd or (k < end and buf[k] == _NUL):
                odd = True
                while k < end and buf[k] != _LF and buf[k] != _CR:
                    k += 1
                break
            if column < width and slots[column] >= 0:
                starts[slots[column], lines] = cell
                ends[slots[column], lines] = past
            column += 1
            if k >= end or buf[k] == _LF or buf[k] == _CR:
                break
            k += 1
        stop[lines] = k
        if k == at:
            kind[lines] = BLANK
        elif odd or column == 1 or k - at > _LONGEST:
            kind[lines] = SLOW
        elif column == width:
            kind[lines] = FAST
        else:
            kind[lines] = SLOW if quoted else MALFORMED
        lines += 1
        at = k + 2 if k + 1 < end and buf[k] == _CR and buf[k + 1] == _LF else k + 1
    return lines, min(at, end)


def _same(buf: Any, one: int, other: int, length: int) -> bool:
    for k in range(length):  # noqa: SIM110 - compiled
        if buf[one + k] != buf[other + k]:
            return False
    return True


def group(buf: Any, starts: Any, ends: Any, table: Any, codes: Any, firsts: Any) -> int:
    """Give equal cells equal codes, in order of appearance; return how many there are.

    table: filled with -1, its size a power of two over the number of cells. firsts: by code, the first such cell.
    """
    count = 0
    mask = table.shape[0] - 1
    code = -1
    for row in range(starts.shape[0]):
        start, length = starts[row], ends[row] - starts[row]
        if code >= 0:
            first = firsts[code]
            if ends[first] - starts[first] == length and _same(buf, start, starts[first], length):
                codes[row] = code
                continue
        mixed = -3750763034362895579  # FNV-1a of 64 bits, as signed numbers that wrap
        for k in range(start, start + length):
            mixed = (mixed ^ buf[k]) * 1099511628211
        slot = (mixed ^ (mixed >> 32)) & mask
        while True:
            code = table[slot]
            if code < 0:
                code = count
                table[slot] = code
                firsts[code] = row
                count += 1
                break
            first = firsts[code]
            if ends[first] - starts[first] == length and _same(buf, start, starts[first], length):
                break
            slot = (slot + 1) & mask
        codes[row] = code
    return count


def _divided(mantissa: int, divisor: float) -> float:
    """Return the double nearest to the quotient, NaN where it is too near the middle of two to tell.

    Below 2**53 both are exact and one division rounds once. Above, the quotient of the upper part is corrected by the
    exact remainder (Dekker's product).
    """
    if mantissa <= _EXACT:
        return mantissa / divisor
    high = float(mantissa)
    low = float(mantissa - int(high))
    quotient = high / divisor
    product = quotient * divisor
    one = 134217729.0 * quotient
    upper = one - (one - quotient)
    lower = quotient - upper
    one = 134217729.0 * divisor
    over = one - (one - divisor)
    under = divisor - over
    error = ((upper * over - product) + upper * under + lower * over) + lower * under
    rest = (((high - product) - error) + low) / divisor
    result = quotient + rest
    left = abs((quotient - result) + rest)
    fraction, exponent = math.frexp(result)
    half = math.ldexp(1.0, exponent - 54)  # of the distance to the next double
    if fraction == 0.5 or abs(left - half) < 1e-6 * half:
        return math.nan
    return result


def numbers(buf: Any, starts: Any, ends: Any, values: Any) -> None:
    """Read decimal numbers of up to 18 digits, without exponent; NaN for any other text."""
    for row in range(starts.shape[0]):
        k, end = starts[row], ends[row]
        values[row] = math.nan
        negative = k < end and buf[k] == 45
        if k < end and (buf[k] == 45 or buf[k] == 43):
            k += 1
        mantissa, digits, places, point = 0, 0, 0, False
        while k < end:
            byte = buf[k]
            if 48 <= byte <= 57:
                mantissa = mantissa * 10 + (byte - 48)
                digits += 1
                if point:
                    places += 1
            elif byte == 46 and not point:
                point = True
            else:
                break
            k += 1
            if digits > 18:
                break
        if k < end or digits == 0 or digits > 18:
            continue
        value = _divided(mantissa, _POWERS[places]) if places else float(mantissa)
        values[row] = -value if negative else value


def _digits(buf: Any, at: int, count: int) -> int:
    number = 0
    for k in range(at, at + count):
        digit = buf[k] - 48
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
    return number


def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970 of a date of the Gregorian calendar (years from March, in eras of 400)."""
    if month <= 2:
        year -= 1
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def _month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _clock(buf: Any, k: int, end: int) -> tuple[int, int]:
    """Read HH:MM[:SS[.ffffff]]; return microseconds (-1: it is none) and where it ends."""
    if end - k < 5 or buf[k + 2] != 58:
        return -1, k
    hour, minute, second, micro = _digits(buf, k, 2), _digits(buf, k + 3, 2), 0, 0
    k += 5
    if k < end and buf[k] == 58:
        if end - k < 3:
            return -1, k
        second = _digits(buf, k + 1, 2)
        k += 3
        if k < end and buf[k] == 46:
            k += 1
            places = 0
            while k < end and 48 <= buf[k] <= 57 and places < 6:
                micro = micro * 10 + (buf[k] - 48)
                places += 1
                k += 1
            if places == 0:
                return -1, k
            for _ in range(6 - places):
                micro *= 10
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return -1, k
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + micro, k


def ticks(buf: Any, starts: Any, ends: Any, first: int, last: int, times: Any) -> None:
    """Read dates and times of ISO 8601 as microseconds since 1970; NO_TIME for any other text.

    first, last: the instants that are believed, inclusive.
    """
    for row in range(starts.shape[0]):
        k, end = starts[row], ends[row]
        times[row] = NO_TIME
        if end - k < 10 or buf[k + 4] != 45 or buf[k + 7] != 45:
            continue
        year, month, day = _digits(buf, k, 4), _digits(buf, k + 5, 2), _digits(buf, k + 8, 2)
        if year < 1 or month < 1 or month > 12 or day < 1 or day > _month_length(year, month):
            continue
        time = _days(year, month, day) * DAY
        k += 10
        if k < end:
            if buf[k] != 32 and buf[k] != 84:
                continue
            clock, k = _clock(buf, k + 1, end)
            if clock < 0:
                continue
            time += clock
            if k < end and buf[k] == 90:
                k += 1
            elif end - k == 6 and (buf[k] == 43 or buf[k] == 45) and buf[k + 3] == 58:
                hour, minute = _digits(buf, k + 1, 2), _digits(buf, k + 4, 2)
                if hour < 0 or hour > 23 or minute < 0 or minute > 59:
                    continue
                offset = (hour * 60 + minute) * 60_000_000
                time += -offset if buf[k] == 43 else offset
                k += 6
        if k == end and first <= time <= last:
            times[row] = time


def place(keys: Any, cursor: Any, order: Any) -> None:
    """Sort stably by counting: order[position] = row. cursor: by key, where its first row goes; moved."""
    for row in range(keys.shape[0]):
        key = keys[row]
        order[cursor[key]] = row
        cursor[key] += 1


def _quoted(buf: Any, start: int, end: int, out: Any, at: int) -> int:
    """Write a cell of CSV, in quotes if it needs them."""
    needs = False
    for k in range(start, end):
        if buf[k] == 44 or buf[k] == _QUOTE or buf[k] == _LF or buf[k] == _CR:
            needs = True
            break
    if needs:
        out[at] = _QUOTE
        at += 1
    for k in range(start, end):
        if buf[k] == _QUOTE:
            out[at] = _QUOTE
            at += 1
        out[at] = buf[k]
        at += 1
    if needs:
        out[at] = _QUOTE
        at += 1
    return at


def _copied(text: Any, start: int, end: int, out: Any, at: int) -> int:
    for k in range(start, end):
        out[at] = text[k]
        at += 1
    return at


def refused_lines(
    buf: Any, line: Any, begin: Any, stop: Any, reason: Any, words: Any, word: Any, user: Any, names: Any, name: Any,
    tail: Any, out: Any, offsets: Any,
) -> None:  # fmt: skip
    """Write lines of rejects.csv: line, reason, user, row, tail. offsets[i + 1] is where the i-th ends in `out`.

    words, names: texts one after the other, the i-th from word[i] to word[i + 1]; those of users are CSV already.
    user: -1 for none.
    """
    at = 0
    for row in range(line.shape[0]):
        offsets[row] = at
        number, size = line[row], 1
        while number >= 10:
            number //= 10
            size += 1
        number = line[row]
        for k in range(at + size - 1, at - 1, -1):
            out[k] = 48 + number % 10
            number //= 10
        at += size
        out[at] = 44
        at = _copied(words, word[reason[row]], word[reason[row] + 1], out, at + 1)
        out[at] = 44
        at += 1
        if user[row] >= 0:
            at = _copied(names, name[user[row]], name[user[row] + 1], out, at)
        out[at] = 44
        at = _quoted(buf, begin[row], stop[row], out, at + 1)
        at = _copied(tail, 0, tail.shape[0], out, at)
    offsets[line.shape[0]] = at
