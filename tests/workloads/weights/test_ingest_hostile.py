"""Input that is broken, huge or made to do harm: a count or a clear error each, and nothing else is lost."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raddle import errors
from raddle.workloads.weights.options import ReadOptions

np = pytest.importorskip("numpy")
pytest.importorskip("polars")
pytest.importorskip("numba")

from raddle.workloads.weights.ingest.blocks import Dialect  # noqa: E402
from raddle.workloads.weights.ingest.csvfast import read_lines  # noqa: E402
from raddle.workloads.weights.ingest.intake import Intake, ingest  # noqa: E402
from raddle.workloads.weights.ingest.rows import MOST_SHOWN  # noqa: E402
from raddle.workloads.weights.ingest.streams import LONGEST_LINE, blocks  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "user_id,effectiveDateTime,source_type,weight,unit\n"
GOOD = "u,2025-01-01,patient-device,70.5,kg\n"


def read(folder: Path, content: bytes | str, **more: Any) -> tuple[Intake, list[dict[str, str]]]:
    path = folder / "in.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_file(path, **more)


def read_file(path: Path, **more: Any) -> tuple[Intake, list[dict[str, str]]]:
    out = io.StringIO()
    options = more.pop("options", ReadOptions())
    intake = ingest([path], options, rejects=out, scratch=path.parent, **more)
    assert intake.rows_read == intake.rows_used + intake.rows_rejected.total()
    assert sum(len(chunk.line) for chunk in intake.chunks()) == intake.rows_used
    return intake, list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))


def used_lines(intake: Intake) -> list[int]:
    return sorted(line for chunk in intake.chunks() for line in chunk.line.tolist())


class Long(io.RawIOBase):
    """A file with one very long line in it, made as it is read."""

    def __init__(self, size: int) -> None:
        self.pieces = [(HEADER + GOOD).encode(), *([b"x" * 1_000_000] * (size // 1_000_000)), b"\r\n" + GOOD.encode()]

    def read1(self, size: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]


def test_a_line_of_400_mb_costs_neither_memory_nor_the_line_after_it() -> None:
    size = 400_000_000
    tracemalloc.start()
    try:
        pieces = list(
            read_lines(Long(size), "in", Dialect(), ReadOptions(), fast=True, block_bytes=8 << 20)  # type: ignore[arg-type]
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [line for piece in pieces for line in piece.line.tolist()] == [2, 4]
    (row,) = [row for piece in pieces for row in piece.slow]
    assert (row.line, row.cells) == (3, None)
    assert row.raw == f"{'x' * MOST_SHOWN} … and {size - MOST_SHOWN} bytes more"
    assert peak < 100_000_000


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block_bytes", [1 << 16, 1 << 20, 3 << 20, 8 << 20])
@pytest.mark.parametrize("size", [LONGEST_LINE - 2, LONGEST_LINE + 5, 2 * LONGEST_LINE + 1, 3_300_000])
def test_long_lines_are_one_malformed_row_whatever_the_blocks(
    tmp_path: Path, size: int, block_bytes: int, ends: str
) -> None:
    text = (HEADER + GOOD + "x" * size + "\n" + GOOD + GOOD).replace("\n", ends)
    intake, rejects = read(tmp_path, text, block_bytes=block_bytes)
    assert used_lines(intake) == [2, 4, 5]
    assert [(row["line"], row["reason"], row["user_id"]) for row in rejects] == [("3", "malformed_row", "")]
    kind = "bytes" if size + len(ends) > LONGEST_LINE else "characters"
    assert rejects[0]["row"][MOST_SHOWN:] == f" … and {size - MOST_SHOWN} {kind} more"


def test_a_quote_before_a_long_line_swallows_nothing(tmp_path: Path) -> None:
    text = HEADER + 'u,2025-01-01,"d\n' + GOOD + "x" * (2 * LONGEST_LINE) + "\n" + GOOD + '"'
    intake, rejects = read(tmp_path, text, block_bytes=1 << 18)
    assert used_lines(intake) == [3, 5]
    assert [row["line"] for row in rejects] == ["2", "4", "6"]


def test_a_record_of_too_many_lines_is_given_up(tmp_path: Path) -> None:
    text = HEADER + 'u,2025-01-01,"' + "\n" * 20_000 + '",70,kg\n' + GOOD
    intake, rejects = read(tmp_path, text, block_bytes=1 << 12)
    assert used_lines(intake) == [20_003]
    assert intake.rows_rejected == {"malformed_row": 2, "blank_line": 19_999}
    assert [int(row["line"]) for row in rejects] == list(range(2, 20_003))


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"ab,c\n", b'"', "é".encode()]), max_size=30),
    size=st.integers(1, 9),
)
def test_blocks_are_the_file_and_end_with_lines(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    found = list(blocks(io.BytesIO(data), "in", size=size))
    assert b"".join(block.data for block in found) == data
    assert [block.last for block in found] == [False] * (len(found) - 1) + [True]
    for block, following in pairwise(found):
        assert block.data.endswith((b"\n", b"\r"))
        assert not (block.data.endswith(b"\r") and following.data.startswith(b"\n"))


IDS = [
    "../../etc/passwd",
    "a/b\\c:d",
    "<script>alert(1)</script>",
    'O\'Brien & "Söhne", Inc.',
    "é" * 512,
    "x" * 4096,
    "line\nbreak",
    "\u202eevil",
    "\N{FACE WITH TEARS OF JOY}",
    "-1",
    "=cmd()",
    "%00",
]


@pytest.mark.parametrize("fast", [True, False])
def test_ids_are_kept_as_they_are(tmp_path: Path, *, fast: bool) -> None:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADER.strip().split(","))
    for user in IDS:
        writer.writerow([user, "2025-01-01", "d", "70", "kg"])
        writer.writerow([user, "2025-01-01", "d", "", "kg"])
    intake, rejects = read(tmp_path, out.getvalue(), fast=fast)
    assert intake.users == tuple(sorted(IDS))
    assert [row["user_id"] for row in rejects] == IDS
    assert [chunk.unused.tolist() for chunk in intake.chunks()] == [[1] * len(IDS)]


def test_mixed_time_zones_and_daylight_saving_are_instants(tmp_path: Path) -> None:
    texts = [
        "2025-03-30T01:30:00+01:00",  # before the clocks go forward in Berlin
        "2025-03-30T03:30:00+02:00",  # an hour later by the clock of the wall two
        "2025-10-26T02:30:00+02:00",
        "2025-10-26T02:30:00+01:00",  # the same words, an hour later
        "2025-10-26 01:30:00",
        "2025-10-26T01:30:00Z",
        "2025-10-25T15:30:00-10:00",
    ]
    intake, _ = read(tmp_path, HEADER + "".join(f"u,{text},d,70,kg\n" for text in texts))
    (chunk,) = intake.chunks()
    hour = 3_600_000_000
    assert np.diff(chunk.time)[[0, 2, 3, 4, 5]].tolist() == [hour, hour, 0, 0, 0]


@pytest.mark.parametrize("spoiled", [b"\xff\xfe\xfa", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80"])
def test_what_is_not_utf8_costs_its_own_row_only(tmp_path: Path, spoiled: bytes) -> None:
    content = HEADER.encode() + b"caf\xc3\xa9,2025-01-01,d,70,kg\n" + spoiled + b",2025-01-01,d,70,kg\n" + GOOD.encode()
    for fast in (True, False):
        intake, rejects = read(tmp_path, content, fast=fast)
        assert intake.users == ("café", "u")
        assert [(row["line"], row["reason"]) for row in rejects] == [("3", "bad_encoding")]


def test_nul_bytes_and_other_formats_are_no_rows(tmp_path: Path) -> None:
    intake, rejects = read(tmp_path, HEADER + GOOD + "\0" * 5000 + "\n" + GOOD)
    assert used_lines(intake) == [2, 4]
    assert [row["reason"] for row in rejects] == ["malformed_row"]
    with pytest.raises(errors.ConfigError):
        read(tmp_path, bytes(range(256)) * 10)


def test_gzip_that_is_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + "".join(f"u,2025-01-01,d{n},{n % 900 + 1},kg\n" for n in range(5000))).encode())
    path = tmp_path / "in.csv.gz"
    for end in (3, 10, 30, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(errors.ConfigError, match=r"after line \d+ .*: copy or download the file again"):
            read_file(path)
    path.write_bytes(whole + b"and more")
    with pytest.raises(errors.ConfigError, match=r"after line 5001 .*copy or download the file again"):
        read_file(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), good=st.booleans())
def test_any_bytes_are_rows_or_an_error_that_says_why(tmp_path: Path, content: bytes, *, good: bool) -> None:
    try:
        intake, rejects = read(tmp_path, (HEADER.encode() if good else b"") + content)
    except errors.ConfigError as error:
        assert str(tmp_path / "in.csv") in str(error)  # noqa: PT017 - or there is none
    else:
        assert len(rejects) == intake.rows_rejected.total()


def test_many_rows_that_are_not_wanted_are_all_listed(tmp_path: Path) -> None:
    lines = [f"u{n % 7},2025-01-01,{'scale' if n % 10 else 'app'},70,kg\n" for n in range(30_000)]
    lines[12_345] = 'u5,2025-01-01,"sc\nale",70,kg\n'
    lines[23_456] = f"u5,2025-01-01,{'y' * 30_000},70,kg\n"
    options = ReadOptions(where=(("source_type", frozenset({"app"})),))
    intake, rejects = read(tmp_path, HEADER + "".join(lines), options=options)
    assert intake.rows_rejected == {"where": 27_000}
    numbers = [int(row["line"]) for row in rejects]
    assert numbers == sorted(numbers)
    assert sorted(numbers + used_lines(intake)) == [n for n in range(2, 30_003) if n != 12_348]
    by_line = {int(row["line"]): row for row in rejects}
    assert by_line[12_347]["row"] == 'u5,2025-01-01,"sc\nale",70,kg'
    assert by_line[23_459]["row"].endswith(f" … and {30_000 + 20 - MOST_SHOWN} characters more")
