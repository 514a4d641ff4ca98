"""From files to chunks: every row is used or listed, and the fast way and the careful way agree."""

from __future__ import annotations

import csv
import gzip
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raddle import errors
from raddle.workloads.weights.options import Columns, ReadOptions, parse_columns, parse_where
from raddle.workloads.weights.values import DAY

np = pytest.importorskip("numpy")
pl = pytest.importorskip("polars")
pytest.importorskip("numba")

from raddle.workloads.weights.ingest.fields import FIRST_TICK, LAST_TICK, Refused, parse_number, parse_time  # noqa: E402
from raddle.workloads.weights.ingest.intake import Intake, ingest  # noqa: E402
from raddle.workloads.weights.ingest.units import KILOGRAM, NO_UNIT, UCUM_POUND, UNKNOWN  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle.workloads.weights.values import Chunk

HEADER = "user_id,effectiveDateTime,source_type,weight,unit\n"
PLAIN = ReadOptions()
GOOD = "u,2025-01-01,patient-device,70.5,kg"
ARRAYS = ("starts", "line", "file", "time", "value", "unit", "source", "height_m", "unused")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path


def read(
    folder: Path, *contents: str | bytes, options: ReadOptions = PLAIN, **more: Any
) -> tuple[Intake, list[dict[str, str]]]:
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"in{number}.csv")
        paths[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_files(folder, paths, options, **more)


def read_files(
    folder: Path, paths: list[Path], options: ReadOptions = PLAIN, **more: Any
) -> tuple[Intake, list[dict[str, str]]]:
    out = io.StringIO()
    intake = ingest(paths, options, rejects=out, scratch=folder / "scratch", **more)
    rejects = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    check(intake)
    assert len(rejects) == intake.rows_rejected.total()
    return intake, rejects


def check(intake: Intake) -> None:
    chunks = list(intake.chunks())
    assert len(chunks) == len(intake)
    assert intake.rows_read == intake.rows_used + intake.rows_rejected.total()
    assert intake.rows_read == sum(file.rows_read for file in intake.files)
    assert sum(len(chunk.line) for chunk in chunks) == intake.rows_used
    assert [user for chunk in chunks for user in chunk.users] == list(intake.users) == sorted(set(intake.users))
    for chunk in chunks:
        assert len(chunk.starts) == len(chunk.users) + 1
        assert (chunk.starts[0], chunk.starts[-1]) == (0, len(chunk.line))
        assert (np.diff(chunk.starts) > 0).all()
        kinds = [getattr(chunk, name).dtype for name in ARRAYS]
        assert kinds == [np.int64] * 4 + [np.float64, np.uint8, np.int64, np.float64, np.int64]


def rows(intake: Intake) -> list[tuple[str, int, int, int, float, int, str]]:
    """Return user, file, line, time, value, unit and source of all used rows, in their order."""
    return [row for chunk in intake.chunks() for row in chunk_rows(chunk)]


def chunk_rows(chunk: Chunk) -> Iterator[tuple[str, int, int, int, float, int, str]]:
    for at, user in enumerate(chunk.users):
        for row in range(int(chunk.starts[at]), int(chunk.starts[at + 1])):
            yield (
                user,
                int(chunk.file[row]),
                int(chunk.line[row]),
                int(chunk.time[row]),
                float(chunk.value[row]),
                int(chunk.unit[row]),
                chunk.source_names[chunk.source[row]],
            )


def facts(intake: Intake) -> tuple[Any, ...]:
    """Return all that a reader of the intake can see."""
    chunks = [
        (chunk.users, chunk.source_names, chunk.days, [getattr(chunk, name).tobytes() for name in ARRAYS])
        for chunk in intake.chunks()
    ]
    return intake.files, intake.rows_rejected, intake.rows_used, intake.users, intake.users_without_rows, chunks


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("", "blank_line"),
        ("  \t", "blank_line"),
        ("u,2025-01-01,device,70.5", "malformed_row"),
        ("u,2025-01-01,device,70.5,kg,more", "malformed_row"),
        ('u,2025-01-01,"device"x,70.5,kg', "malformed_row"),
        ('u,2025-01-01,"device,70.5",kg', "malformed_row"),
        ("u,2025-01-01,device\0,70.5,kg", "malformed_row"),
        (",2025-01-01,device,70.5,kg", "no_user"),
        ("NULL,2025-01-01,device,70.5,kg", "no_user"),
        (f"{'é' * 2049},2025-01-01,device,70.5,kg", "user_too_long"),
        ("u,2025-01-01,device,,kg", "no_weight"),
        ("u,2025-01-01,device,null,kg", "no_weight"),
        ("u,2025-01-01,device,NA,kg", "no_weight"),
        ("u,2025-01-01,device,heavy,kg", "not_a_number"),
        ("u,2025-01-01,device,NaN,kg", "not_a_number"),
        ("u,2025-01-01,device,1_0,kg", "not_a_number"),
        ("u,2025-01-01,device,.,kg", "not_a_number"),
        ("u,2025-01-01,device,1.2.3,kg", "not_a_number"),
        ("u,2025-01-01,device,\u0667\u0660,kg", "not_a_number"),
        ('u,2025-01-01,device,"70,5",kg', "not_a_number"),
        ("u,2025-01-01,device,inf,kg", "out_of_range"),
        ("u,2025-01-01,device,-inf,kg", "out_of_range"),
        ("u,2025-01-01,device,1e308,kg", "out_of_range"),
        ("u,2025-01-01,device,1e999,kg", "out_of_range"),
        ("u,2025-01-01,device,0,kg", "out_of_range"),
        ("u,2025-01-01,device,-70,kg", "out_of_range"),
        ("u,2025-01-01,device,1000.1,kg", "out_of_range"),
        ("u,2025-01-01,device,2300,lb", "out_of_range"),
        ("u,2025-01-01,device,24.1,kg/m2", "unit_not_weight"),
        ("u,2025-01-01,device,1.9,m²", "unit_not_weight"),
        ("u,2025-01-01,BSA device,1.9,kg", "unit_not_weight"),
        ("u,2025-01-01,device,70,cm", "unknown_unit"),
        ("u,,device,70,kg", "bad_time"),
        ("u,yesterday,device,70,kg", "bad_time"),
        ("u,01/02/2025,device,70,kg", "bad_time"),
        ("u,2025-02-30,device,70,kg", "bad_time"),
        ("u,2025-W01-1,device,70,kg", "bad_time"),
        ("u,20250101,device,70,kg", "bad_time"),
        ("u,2025-06-30 24:00:01,device,70,kg", "bad_time"),
        ("u,2025-06-30 23:59:60,device,70,kg", "leap_second"),
        ("u,2025-06-30T23:59:60Z,device,70,kg", "leap_second"),
        ("u,0025-01-01,device,70,kg", "bad_time"),
        ("u,9999-12-31T23:59:59-10:00,device,70,kg", "bad_time"),
        ("u,2201-01-01,device,70,kg", "bad_time"),
        ("u,1899-12-31,device,70,kg", "bad_time"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed_with_line_and_reason(
    folder: Path, row: str, reason: str, *, fast: bool
) -> None:
    intake, rejects = read(folder, f"{HEADER}{GOOD}\n{row}\nv,2025-01-01,device,60,kg\n", fast=fast)
    assert intake.rows_rejected == {reason: 1}
    assert (rejects[0]["line"], rejects[0]["reason"], rejects[0]["row"]) == ("3", reason, row)
    assert rejects[0]["file"] == str(folder / "in0.csv")
    assert [(row[0], row[2]) for row in rows(intake)] == [("u", 2), ("v", 4)]


def test_what_a_used_row_says(folder: Path) -> None:
    text = HEADER + "v,2025-01-02T00:30:00+02:00, a ,154.3,[lb_av]\n u ,2025-01-01,,70.25,\nu,2025-01-01,,71,NULL\n"
    intake, _ = read(folder, text)
    day = parse_time("2025-01-01")
    assert rows(intake) == [
        ("u", 0, 3, day, 70.25, NO_UNIT, "unknown"),
        ("u", 0, 4, day, 71.0, NO_UNIT, "unknown"),
        ("v", 0, 2, day + 22 * DAY // 24 + DAY // 48, 154.3, UCUM_POUND, "a"),
    ]


def test_compat_checks_the_number_and_keeps_units_it_does_not_know(folder: Path) -> None:
    text = HEADER + "".join(f"u,2025-01-0{n},d,{row}\n" for n, row in enumerate(("800,cm", "1000,st", "24,m2"), 1))
    intake, rejects = read(folder, text, options=ReadOptions(rules="compat"))
    assert [row[4:6] for row in rows(intake)] == [(800.0, UNKNOWN), (1000.0, 2)]
    assert [row["reason"] for row in rejects] == ["unit_not_weight"]
    intake, _ = read(folder, text)
    assert intake.rows_rejected == {"unknown_unit": 1, "out_of_range": 1, "unit_not_weight": 1}


def test_lines_survive_bom_crlf_and_quoted_line_ends(folder: Path) -> None:
    text = "\ufeff" + HEADER.replace("\n", "\r\n") + '"u","2025-01-01","a\r\nb","70","kg"\r\nu,2025-01-02,c,71,kg\r\n'
    intake, _ = read(folder, text)
    assert [(row[2], row[6]) for row in rows(intake)] == [(2, "a\r\nb"), (4, "c")]


def test_lines_may_end_with_a_lone_cr_or_not_at_all(folder: Path) -> None:
    intake, _ = read(folder, f"{HEADER}{GOOD}\n\nv,2025-01-02,c,71,kg".replace("\n", "\r"))
    assert [(row[0], row[2]) for row in rows(intake)] == [("u", 2), ("v", 4)]
    assert intake.rows_rejected == {"blank_line": 1}


@pytest.mark.parametrize("text", ["", "\ufeff", "\n", "\n\n"])
def test_a_file_without_header_is_an_error(folder: Path, text: str) -> None:
    with pytest.raises(errors.ConfigError, match="line 1 is not a header row"):
        read(folder, text)


def test_a_file_with_a_header_only_has_no_rows(folder: Path) -> None:
    intake, rejects = read(folder, HEADER.strip())
    assert (len(intake), intake.rows_read, rejects) == (0, 0, [])


@pytest.mark.parametrize("stray", ['u,2025-01-02,device,70,"kg', '"u,2025-01-02,device,70,kg', 'u,"2025'])
def test_a_quote_that_is_never_closed_costs_its_own_line_only(folder: Path, stray: str) -> None:
    after = "".join(f"u,2025-02-{day:02},device,70,kg\n" for day in range(1, 20))
    intake, rejects = read(folder, f"{HEADER}{GOOD}\n{stray}\n{after}")
    assert [(row["line"], row["reason"]) for row in rejects] == [("3", "malformed_row")]
    assert [row[2] for row in rows(intake)] == [2, *range(4, 23)]


def test_a_cell_beyond_the_csv_limit_costs_its_own_line_only(folder: Path) -> None:
    intake, rejects = read(folder, f"{HEADER}u,2025-01-01,{'x' * 200_000},70,kg\n{GOOD}\n")
    assert intake.rows_used == 1
    assert (rejects[0]["line"], rejects[0]["reason"]) == ("2", "malformed_row")
    assert rejects[0]["row"].endswith(" … and 180019 characters more")


def test_bytes_that_are_not_utf8_spoil_their_own_row(folder: Path) -> None:
    intake, rejects = read(folder, f"{HEADER}J\xf6rg,2025-01-01,d,70,kg\n".encode("latin-1") + GOOD.encode() + b"\n")
    assert intake.rows_rejected == {"bad_encoding": 1}
    assert (rejects[0]["line"], intake.rows_used) == ("2", 1)


def test_where_and_columns(folder: Path) -> None:
    text = "id,who,what,day,value\n1,u,WEIGHT,3,70\n2,u,HEIGHT,3,170\n3,u,BODYMASS,4.5,71\n4,v,HEIGHT,x,1\n"
    options = ReadOptions(
        columns=parse_columns(["user=who,time=day", "weight=value"]),
        time_unit="days",
        where=parse_where(["what=WEIGHT", "what=BODYMASS"]),
    )
    intake, rejects = read(folder, text, options=options)
    assert intake.rows_rejected == {"where": 2}
    assert (rejects[0]["row"], rejects[0]["user_id"]) == ("2,u,HEIGHT,3,170", "u")
    assert [row[3] for row in rows(intake)] == [3 * DAY, 4 * DAY + DAY // 2]
    assert intake.days
    assert intake.users_without_rows == 0


def test_unused_rows_are_counted_for_their_user(folder: Path) -> None:
    lines = [GOOD, "u,,d,1,kg", "u,2025-01-01,d,x,kg", "u,2020-01-01,d,70,kg", "v,,d,1,kg", "w,2020-01-01,d,70,kg"]
    intake, rejects = read(folder, HEADER + "\n".join(lines), options=ReadOptions(since="2025-01-01"))
    assert [chunk.unused.tolist() for chunk in intake.chunks()] == [[2]]
    assert intake.users_without_rows == 1  # v; those of w are only not asked for
    assert [row["reason"] for row in rejects] == ["bad_time", "not_a_number", "date_range", "bad_time", "date_range"]


@pytest.mark.parametrize(
    ("header", "options", "hint"),
    [
        ("user,effectiveDateTime,weight", PLAIN, "did you mean 'user'?"),
        ("user_id,effectiveDateTime,weight", ReadOptions(columns=Columns(weight="wieght")), "did you mean 'weight'?"),
        ("user_id,effectiveDateTime,weight", ReadOptions(columns=Columns(unit="u")), "among 'user_id', 'effective"),
        ("user_id,user_id,effectiveDateTime,weight", PLAIN, "2 columns are called 'user_id'"),
        ("user_id,effectiveDateTime,weight", ReadOptions(where=(("parm", frozenset("x")),)), "where=parm"),
    ],
)
def test_columns_that_cannot_be_found_are_named_with_a_remedy(
    folder: Path, header: str, options: ReadOptions, hint: str
) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        read(folder, header + "\nu,2025-01-01,70\n", options=options)
    assert hint in str(caught.value)


def test_files_that_cannot_be_read(folder: Path) -> None:
    whole = gzip.compress((HEADER + "".join(f"u,2025-01-01,d{n},{n},kg\n" for n in range(1, 900))).encode())
    for name, content, hint in (
        ("cut.csv.gz", whole[: len(whole) // 2], r"after line [1-9]\d* .*copy or download the file again"),
        ("broken.csv.gz", whole[:200] + bytes(50) + whole[250:], "copy or download the file again"),
        ("wide.csv", HEADER.encode("utf-16"), "UTF-16"),
        ("broken.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
    ):
        path = folder / name
        path.write_bytes(content)
        with pytest.raises(errors.ConfigError, match=hint):
            read_files(folder, [path])
    for path, hint in ((folder / "none.csv", "no such file"), (folder, "it is a folder: name the files in it")):
        with pytest.raises(errors.ConfigError, match=hint):
            read_files(folder, [path])


def test_files_are_numbered_and_known_ones_are_skipped(folder: Path) -> None:
    one, two = HEADER + GOOD, HEADER + GOOD + "\nv,2025-01-02,d,60,kg\nv,x,d,60,kg"
    intake, rejects = read(folder, one, two, one)
    assert [(file.number, file.rows_read, file.skipped) for file in intake.files] == [
        (0, 1, False),
        (1, 3, False),
        (0, 0, True),
    ]
    assert [row[:3] for row in rows(intake)] == [("u", 0, 2), ("u", 1, 2), ("v", 1, 3)]
    assert [(row["file"], row["line"]) for row in rejects] == [(str(folder / "in1.csv"), "4")]
    again, _ = read(folder, one, two, known={intake.files[0].digest: 4})
    assert [(file.number, file.skipped) for file in again.files] == [(4, True), (5, False)]
    assert [row[:3] for row in rows(again)] == [("u", 5, 2), ("v", 5, 3)]
    nothing, _ = read(folder, one, known={intake.files[0].digest: 4})
    assert (len(nothing), nothing.users) == (0, ())


def test_gzip_and_standard_input_say_the_same_as_the_file(folder: Path) -> None:
    text = HEADER + GOOD + "\nv,2025-01-02,d,x,kg\n" + "w,2025-01-02,d,55,kg\n" * 500
    plain, _ = read(folder, text)
    packed, _ = read(folder, gzip.compress(text[:1000].encode()) + gzip.compress(text[1000:].encode()))
    assert facts(packed)[1:] == facts(plain)[1:]
    program = (
        "import io, sys; from pathlib import Path; from raddle.workloads.weights.ingest.intake import ingest\n"
        "from raddle.workloads.weights.options import ReadOptions\n"
        "i = ingest(['-'], ReadOptions(), rejects=io.StringIO(), scratch=Path(sys.argv[1]))\n"
        "print(i.files[0].name, i.files[0].digest, i.rows_read, i.rows_used, [len(c.line) for c in i.chunks()])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(folder / "scratch")], input=text.encode(), capture_output=True, check=True
    )
    assert said.stdout.decode().split() == ["-", plain.files[0].digest, "502", "501", "[501]"]


def test_parquet_says_the_same_as_csv(folder: Path) -> None:
    text = HEADER + GOOD + "\nv,2025-01-02 03:04:05,é,60.1,lb\nv,,d,60,kg\nv,2025-01-03,d,,kg\nw,2025-01-03,d,-1,kg\n"
    plain, listed = read(folder, text)
    frame = pl.read_csv(io.StringIO(text), infer_schema=False)
    typed = frame.with_columns(
        pl.col("weight").cast(pl.Float64),
        pl.col("effectiveDateTime").replace("", None).str.to_datetime(strict=False, format="%Y-%m-%d %H:%M:%S")
        .fill_null(pl.col("effectiveDateTime").str.to_datetime(strict=False, format="%Y-%m-%d")),
    )  # fmt: skip
    for name, table in (("text", frame), ("typed", typed), ("zoned", typed.with_columns(
        pl.col("effectiveDateTime").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    ))):  # fmt: skip
        path = folder / f"{name}.parquet"
        table.write_parquet(path)
        intake, rejects = read_files(folder, [path])
        assert facts(intake)[1:] == facts(plain)[1:], name
        assert intake.files[0].preset == "parquet"
        assert [row["line"] for row in rejects] == [row["line"] for row in listed] == ["4", "5", "6"]
        assert [row["user_id"] for row in rejects] == ["v", "v", "w"]
    with pytest.raises(errors.ConfigError, match="did you mean 'weight'"):
        read_files(folder, [folder / "text.parquet"], ReadOptions(columns=Columns(weight="waight")))


def test_parquet_takes_days_and_other_names(folder: Path) -> None:
    frame = pl.DataFrame({"who": [7, 7, None], "day": [1, 2, 3], "kg": [70, None, 71], "list": [[1], [2], []]})
    frame.write_parquet(folder / "in.parquet")
    options = ReadOptions(columns=Columns(user="who", time="day", weight="kg"), time_unit="days")
    intake, rejects = read_files(folder, [folder / "in.parquet"], options)
    assert [(row[0], row[3], row[4]) for row in rows(intake)] == [("7", DAY, 70.0)]
    assert [(row["reason"], row["row"]) for row in rejects] == [("no_weight", "7,2,"), ("no_user", ",3,71")]
    with pytest.raises(errors.ConfigError, match="column 'list' holds"):
        read_files(folder, [folder / "in.parquet"], replace(options, columns=Columns("list", "day", "kg")))


# ------------------------------------------------------------------------------------------------------- selection

MANY = HEADER + "".join(
    f"u{n},2025-01-{day:02},d,{60 + n},kg\n" for day in range(1, 6) for n in range(6) if n >= day - 1
)


@pytest.mark.parametrize(
    ("options", "users", "reasons"),
    [
        (ReadOptions(), {"u0": 1, "u1": 2, "u2": 3, "u3": 4, "u4": 5, "u5": 5}, {}),
        (ReadOptions(min_readings=3), {"u2": 3, "u3": 4, "u4": 5, "u5": 5}, {"too_few_readings": 3}),
        (
            ReadOptions(min_readings=2, user_offset=1, max_users=2),
            {"u2": 3, "u3": 4},
            {"too_few_readings": 1, "not_selected": 12},
        ),
        (ReadOptions(since="2025-01-04"), {"u3": 1, "u4": 2, "u5": 2}, {"date_range": 15}),
        (
            ReadOptions(since="2025-01-02", until="2025-01-03", min_readings=2),
            {"u2": 2, "u3": 2, "u4": 2, "u5": 2},
            {"date_range": 11, "too_few_readings": 1},
        ),
        (ReadOptions(until="2025-01-02 00:00:00", max_users=1), {"u0": 1}, {"date_range": 0, "not_selected": 19}),
    ],
)
def test_selection(folder: Path, options: ReadOptions, users: dict[str, int], reasons: dict[str, int]) -> None:
    intake, rejects = read(folder, MANY, options=options)
    found = {
        user: int(n) for chunk in intake.chunks() for user, n in zip(chunk.users, np.diff(chunk.starts), strict=True)
    }
    assert found == users
    assert intake.rows_rejected == {reason: count for reason, count in reasons.items() if count}
    assert [int(row["line"]) for row in rejects] == sorted(int(row["line"]) for row in rejects)


def test_a_list_of_users(folder: Path) -> None:
    listed = folder / "users.txt"
    listed.write_text("# wanted\n\n u3 \nu0\nnobody\n")
    options = ReadOptions(users_file=listed, min_readings=50, max_users=1)
    intake, _ = read(folder, MANY, options=options)
    assert intake.users == ("u0", "u3")
    assert intake.rows_rejected == {"not_selected": 15}
    listed.write_text("# none\n")
    with pytest.raises(errors.ConfigError, match="names nobody: write one id per line"):
        read(folder, MANY, options=options)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (ReadOptions(since="last year"), "a day such as 2025-01-31"),
        (ReadOptions(until="2025-13-01"), "a day such as 2025-01-31"),
        (ReadOptions(since="x", time_unit="days"), "a number of days"),
        (ReadOptions(since="2025-01-02", until="2025-01-01"), "swap them"),
        (ReadOptions(users_file=Path("there is none")), "no such file"),
        (ReadOptions(heights=Path("there is none")), "no such file"),
    ],
)
def test_options_that_cannot_be(folder: Path, options: ReadOptions, hint: str) -> None:
    with pytest.raises(errors.ConfigError, match=hint):
        read(folder, MANY, options=options)


def test_heights(folder: Path) -> None:
    path = folder / "heights.csv"
    lines = ["u0,170.5,cm", "u1,67,in", "u2,5.5,ft", "u3,1.8,m", "u4,175,", "u5,9,m", "u5,x,cm", ",170,cm", "u5,1"]
    path.write_text("user_id,value_quantity,unit\n" + "\n".join(lines))
    intake, _ = read(folder, MANY, options=ReadOptions(heights=path))
    found = np.concatenate([chunk.height_m for chunk in intake.chunks()])
    assert found[:5].tolist() == [170.5 / 100, 67 * 0.0254, 5.5 * 0.3048, 1.8, 1.75]
    assert np.isnan(found[5])
    assert intake.heights == {"used": 5, "out_of_range": 1, "not_a_number": 1, "no_user": 1, "malformed_row": 1}
    path.write_text("user_id,height\n")
    with pytest.raises(errors.ConfigError, match="must be user_id,value_quantity,unit"):
        read(folder, MANY, options=ReadOptions(heights=path))


# ---------------------------------------------------------------------------------------------- larger than memory


@pytest.mark.parametrize("chunk_rows", [1, 7, 50, 10_000])
def test_rows_that_do_not_fit_into_memory_make_the_same_chunks(folder: Path, chunk_rows: int) -> None:
    text = HEADER + "".join(
        f"u{n * n % 97},2025-01-01 00:00:{n % 60:02},s{n % 5},{50 + n % 40},kg\n" for n in range(2000)
    )
    other = HEADER + "u3,2024-01-01,d,70,kg\nu96,2024-01-01,d,70,kg\n"
    whole, _ = read(folder, text, other, chunk_rows=chunk_rows)
    tight, _ = read(folder, text, other, chunk_rows=chunk_rows, memory_bytes=20_000, block_bytes=1_000)
    assert facts(tight) == facts(whole)
    assert facts(tight) == facts(tight)  # as often as asked
    for chunk in whole.chunks():
        assert len(chunk.line) <= chunk_rows or len(chunk.users) == 1


def test_memory_does_not_grow_with_the_rows(folder: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here, which knows how much memory a process has had")
    program = (  # not ru_maxrss, which remembers the program before an exec
        "import io, re, sys; from pathlib import Path\n"
        "from raddle.workloads.weights.ingest.intake import ingest\n"
        "from raddle.workloads.weights.options import ReadOptions\n"
        "i = ingest([sys.argv[1]], ReadOptions(), rejects=io.StringIO(), scratch=Path(sys.argv[2]),\n"
        "           memory_bytes=8_000_000, block_bytes=1 << 20)\n"
        "assert sum(len(c.line) for c in i.chunks()) == i.rows_used == int(sys.argv[3])\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    peaks = []
    for count in (400_000, 2_400_000):  # both beyond what memory_bytes holds; all rows would take 58 MB more
        path = folder / f"{count}.csv"
        with path.open("w") as file:
            file.write(HEADER)
            for first in range(0, count, 1000):
                day = f"2025-01-01 00:00:{first // 1000 % 60:02}"
                file.writelines(f"u{n},{day},d,70.5,kg\n" for n in range(1000))
        said = subprocess.run(
            [sys.executable, "-c", program, str(path), str(folder / "scratch"), str(count)],
            capture_output=True, check=True, env={**os.environ, "POLARS_MAX_THREADS": "1"},
        )  # fmt: skip
        peaks.append(int(said.stdout) / 1024)
    # kept whole, 400,000 rows more would be 15 MB and as much again while they are sorted
    assert peaks[1] - peaks[0] < 30, peaks


# ------------------------------------------------------------------------------------- the fast way and the careful way

_CELLS = st.one_of(
    st.sampled_from([
        "", "u", "v", " u", "\xa0v", "70", "70.5", "1e2", "101.23456789012345", "0.1000000000000000055", "2025-01-01",
        "2025-01-01T05:06:07.25Z", "2025-01-01 05:06", "2025-06-30 23:59:60", "2025-01-01T00:00:00+14:00", "kg", "LB",
        "m2", "BSA", "NULL", '"', '""', '"u"', '"70"', '"a,b"', '"a""b"', 'a"b', ",", "\n", '"\n', "\r", "\r\n", "\x00",
        "é", "\x1c", "\x85", "\u2028", "5", "3000-01-01",
    ]),
    st.text(max_size=8),
)  # fmt: skip
_LINE = st.lists(_CELLS, min_size=1, max_size=7).map(",".join)
_GOOD_LINE = st.tuples(
    st.sampled_from(["u", "v", "w"]),
    _CELLS.filter(lambda text: not set(text) & set(',"\r\n\0')) | st.just("2025-01-01 05:23:49"),
    st.sampled_from(["d", "e", ""]),
    _CELLS.filter(lambda text: not set(text) & set(',"\r\n\0')) | st.just("70.5"),
    st.sampled_from(["kg", "lb", "", "m2", "x"]),
).map(",".join)
_OPTIONS = st.sampled_from(
    [
        PLAIN,
        ReadOptions(rules="compat"),
        ReadOptions(where=(("unit", frozenset({"kg", "lb"})), ("source_type", frozenset({"d", "", "e"})))),
        ReadOptions(since="2025-01-01 05:06:07.25", until="2025-01-01", min_readings=2),
        ReadOptions(time_unit="days", max_users=1),
        ReadOptions(columns=Columns("user_id", "weight", "weight", "weight", "user_id"), time_unit="days"),
    ]
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.one_of(_GOOD_LINE, _LINE), max_size=25),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    options=_OPTIONS,
    spoil=st.none() | st.integers(0, 300),
    block=st.sampled_from([1, 7, 64, 1 << 20]),
)
def test_fast_and_careful_say_the_same(
    folder: Path, lines: list[str], ends: str, options: ReadOptions, spoil: int | None, block: int
) -> None:
    raw = (HEADER + "\n".join(lines)).replace("\n", ends).encode("utf-8", errors="replace")
    if spoil is not None and spoil + len(HEADER) + 1 < len(raw):
        raw = raw[: len(HEADER) + 1 + spoil] + b"\xff" + raw[len(HEADER) + 1 + spoil :]
    (folder / "in.csv").write_bytes(raw)
    said = []
    for how in ({"fast": True, "block_bytes": block}, {"fast": False}):
        out = io.StringIO()
        intake = ingest([folder / "in.csv"], options, rejects=out, scratch=folder / "scratch", chunk_rows=3, **how)
        check(intake)
        said.append((facts(intake), out.getvalue()))
    assert said[0] == said[1]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.one_of(_GOOD_LINE, _LINE), max_size=25), block=st.sampled_from([5, 50, 1 << 20]))
def test_used_and_rejected_are_all(folder: Path, lines: list[str], block: int) -> None:
    raw = (HEADER + "\n".join(lines)).encode("utf-8", errors="replace")
    (folder / "in.csv").write_bytes(raw)
    out = io.StringIO()
    intake = ingest([folder / "in.csv"], PLAIN, rejects=out, scratch=folder / "scratch", block_bytes=block)
    check(intake)
    rejects = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    seen = [row[2] for row in rows(intake)] + [int(row["line"]) for row in rejects]
    assert len(seen) == len(set(seen)) == intake.rows_read
    assert [int(row["line"]) for row in rejects] == sorted(int(row["line"]) for row in rejects)


_NUMBERS = st.one_of(
    st.floats(min_value=1e-3, max_value=999.0).map(repr),
    st.decimals(min_value=0, max_value=999, places=12, allow_nan=False).map(str),
    st.from_regex(r"\A[+-]?[0-9]{1,3}\.?[0-9]{0,18}\Z"),
)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(_NUMBERS, min_size=1, max_size=60))
def test_numbers_are_those_of_python(texts: list[str]) -> None:
    from raddle.workloads.weights.ingest import kernels
    from raddle.workloads.weights.rules.compiled import compiled

    data = "".join(texts).encode()
    ends = np.cumsum([len(text) for text in texts]).astype(np.int64)
    starts, values = np.append(0, ends[:-1]).astype(np.int64), np.empty(len(texts))
    compiled(kernels).numbers(np.frombuffer(data, np.uint8), starts, ends, values)
    for text, value in zip(texts, values.tolist(), strict=True):
        assert value != value or value == parse_number(text) == float(text)  # noqa: PLR0124 - NaN: left to Python
    plain = [
        value for text, value in zip(texts, values.tolist(), strict=True) if len(text) < 16 and "e" not in text.lower()
    ]
    assert not any(value != value for value in plain)  # noqa: PLR0124


_TIMES = st.builds(
    lambda moment, shape, offset: shape.format(moment, offset),
    st.datetimes(),
    st.sampled_from([
        "{0:%Y-%m-%d}", "{0:%Y-%m-%d %H:%M}", "{0:%Y-%m-%dT%H:%M:%S}", "{0:%Y-%m-%dT%H:%M:%S}Z", "{0:%Y-%m-%d}T",
        "{0:%Y-%m-%d %H:%M:%S.%f}", "{0:%Y-%m-%dT%H:%M:%S}{1}", "{0:%Y-%m-%d %H:%M:%S}.", "{0:%Y-%m-%dT%H:%M}z",
        "{0:%Y-%m-%d} {1}",
    ]),
    st.sampled_from(["+02:00", "-09:30", "+14:00", "+24:00", "+0200", "-00:60", "+01", "+02:00:00"]),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(_TIMES, min_size=1, max_size=40))
def test_times_are_those_of_the_careful_parser(texts: list[str]) -> None:
    from raddle.workloads.weights.ingest import kernels
    from raddle.workloads.weights.rules.compiled import compiled

    data = "".join(texts).encode()
    ends = np.cumsum([len(text) for text in texts]).astype(np.int64)
    starts, ticks = np.append(0, ends[:-1]).astype(np.int64), np.empty(len(texts), np.int64)
    compiled(kernels).ticks(np.frombuffer(data, np.uint8), starts, ends, FIRST_TICK, LAST_TICK, ticks)
    for text, tick in zip(texts, ticks.tolist(), strict=True):
        try:
            assert tick in {parse_time(text), kernels.NO_TIME}, text
        except Refused:
            assert tick == kernels.NO_TIME, text


def test_every_row_of_the_golden_file_is_accounted_for(folder: Path, data: Path) -> None:
    golden = data / "weights" / "golden"
    options = ReadOptions(rules="compat", heights=golden / "heights.csv")
    intake, _ = read_files(folder, [golden / "input.csv"], options)
    assert intake.rows_rejected == {"unit_not_weight": 19, "no_weight": 16}
    units = np.concatenate([chunk.unit for chunk in intake.chunks()])
    assert set(units.tolist()) >= {KILOGRAM, UCUM_POUND}
    assert not np.isnan(np.concatenate([chunk.height_m for chunk in intake.chunks()])).any()


WITHINGS = 'Date,"Weight (lb)","Fat mass (lb)",Comments\n"2025-01-02 07:08:09",154.3,30,\n"2025-01-03 07:08:09",,30,\n'
APPLE = """<?xml version="1.0" encoding="UTF-8"?>
<HealthData locale="en_GB">
 <Record type="HKQuantityTypeIdentifierBodyMass" sourceName="Scale" unit="kg" creationDate="2025-01-02 08:00:00 +0100"
  startDate="2025-01-02 08:00:00 +0100" endDate="2025-01-02 08:00:00 +0100" value="70.5"/>
 <Record type="HKQuantityTypeIdentifierBodyMass" sourceName="Scale" unit="kg" creationDate="2025-01-03 08:00:00 +0100"
  startDate="2025-01-03 08:00:00 +0100" endDate="2025-01-03 08:00:00 +0100" value="heavy"/>
</HealthData>
"""


@pytest.mark.parametrize(
    ("preset", "content", "value", "hour", "source", "refused"),
    [
        ("withings", WITHINGS, 154.3, 7 * 3600 + 8 * 60 + 9, "withings", "no_weight"),
        ("apple", APPLE, 70.5, 7 * 3600, "Scale", "not_a_number"),
    ],
)
def test_exports_come_in_by_their_presets(
    folder: Path, preset: str, content: str, value: float, hour: int, source: str, refused: str
) -> None:
    intake, rejects = read(folder, content, options=ReadOptions(user="me"))
    assert intake.files[0].preset == preset
    assert intake.users == ("me",)
    ((_, _, _, time, found, _, name),) = rows(intake)
    assert (found, name) == (value, source)
    assert time == parse_time("2025-01-02") + hour * 1_000_000
    assert [(row["reason"], row["user_id"]) for row in rejects] == [(refused, "me")]


def test_an_export_has_no_columns_to_choose_by(folder: Path) -> None:
    with pytest.raises(errors.ConfigError, match="leave --where out"):
        read(folder, APPLE, options=ReadOptions(user="me", where=(("type", frozenset({"x"})),)))
