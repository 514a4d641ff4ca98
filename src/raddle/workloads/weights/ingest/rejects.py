"""rejects.csv: every row that is not used, with its file, its line and the reason."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import IO, TYPE_CHECKING, Final, NamedTuple

import numpy as np

from raddle.workloads.weights.ingest import kernels
from raddle.workloads.weights.ingest.fields import REASONS
from raddle.workloads.weights.ingest.rows import MOST_SHOWN, shown
from raddle.workloads.weights.rules.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from raddle.workloads.weights.values import Bytes, Ints

__all__ = ["HEADER", "Refusal", "csv_cell", "write_bulk", "write_refusals"]

HEADER: Final = "line,reason,user_id,row,file\n"
#: digits of a line and commas
_EXTRA: Final = 32


class Refusal(NamedTuple):
    """A row that is not used."""

    line: int
    reason: int
    user: str
    row: str


def csv_cell(text: str) -> str:
    """Return a text as a cell of CSV, in quotes if it needs them."""
    if any(letter in text for letter in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


def write_refusals(out: IO[str], refusals: Iterable[Refusal], name: str) -> None:
    """Write rows of one file."""
    tail = _tail(name)
    out.writelines(_line(refusal, tail) for refusal in refusals)


def write_bulk(
    out: IO[str],
    refusals: list[Refusal],
    name: str,
    *,
    buf: Bytes,
    line: Ints,
    begin: Ints,
    stop: Ints,
    reason: Bytes,
    user: NDArray[np.int32],
    users: Sequence[str],
) -> None:
    """Write rows of one file: those of the columns, all of them refused, and `refusals` in between, by line.

    user: index into `users`; -1: none.
    """
    long = stop - begin > MOST_SHOWN
    if long.any():
        for at in np.flatnonzero(long).tolist():
            text = buf[begin[at] : stop[at]].tobytes().decode("utf-8", "surrogateescape")
            who = users[user[at]] if user[at] >= 0 else ""
            refusals.append(Refusal(int(line[at]), int(reason[at]), who, shown(text)))
        short = ~long
        line, begin, stop, reason, user = line[short], begin[short], stop[short], reason[short], user[short]
    tail = _tail(name)
    content, offsets = _lines(
        buf,
        line=line,
        begin=begin,
        stop=stop,
        reason=reason,
        user=user,
        users=users,
        tail=tail.encode("utf-8", "surrogateescape"),
    )
    if not refusals:
        out.write(content.tobytes().decode("utf-8", "surrogateescape"))
        return
    refusals.sort()
    places = np.searchsorted(line, [refusal.line for refusal in refusals])
    cuts = [0, *offsets[places].tolist(), int(offsets[-1])]
    for (first, end), refusal in zip(pairwise(cuts), [*refusals, None], strict=True):
        if end > first:
            out.write(content[first:end].tobytes().decode("utf-8", "surrogateescape"))
        if refusal is not None:
            out.write(_line(refusal, tail))


def _lines(
    buf: Bytes,
    *,
    line: Ints,
    begin: Ints,
    stop: Ints,
    reason: Bytes,
    user: NDArray[np.int32],
    users: Sequence[str],
    tail: bytes,
) -> tuple[Bytes, Ints]:
    shown_users = np.unique(user[user >= 0])
    named = {at: csv_cell(users[at][:MOST_SHOWN]).encode() for at in shown_users.tolist()}
    codes = np.where(user >= 0, np.searchsorted(shown_users, user), -1).astype(np.int64)
    names, name = _joined(list(named.values()))
    words, word = _joined([text.encode() for text in REASONS])
    lengths = np.append(np.diff(name), 0)  # the last for -1
    room = 2 * int((stop - begin).sum()) + int(lengths[codes].sum())
    room += len(line) * (_EXTRA + max(map(len, REASONS)) + len(tail))
    content, offsets = np.empty(room, np.uint8), np.empty(len(line) + 1, np.int64)
    compiled(kernels).refused_lines(
        buf, line, begin, stop, reason, words, word, codes, names, name, np.frombuffer(tail, np.uint8), content, offsets
    )
    return content[: offsets[-1]], offsets


def _joined(texts: list[bytes]) -> tuple[Bytes, Ints]:
    return np.frombuffer(b"".join(texts), np.uint8), np.array([0, *accumulate(map(len, texts))], np.int64)


def _tail(name: str) -> str:
    return f",{csv_cell(name)}\n"


def _line(refusal: Refusal, tail: str) -> str:
    user = csv_cell(refusal.user[:MOST_SHOWN])
    return f"{refusal.line},{REASONS[refusal.reason]},{user},{csv_cell(refusal.row)}{tail}"
