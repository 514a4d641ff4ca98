"""Whole files, from rows to pages."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

pl = pytest.importorskip("polars")

import raddle  # noqa: E402
from raddle.journal.history import History  # noqa: E402
from raddle.workloads.weights import workload  # noqa: E402
from raddle.workloads.weights.config import Config, VisualizationTable, VisualizationThreading, load_config  # noqa: E402
from raddle.workloads.weights.files import page_name  # noqa: E402
from raddle.workloads.weights.needs import needed  # noqa: E402
from raddle.workloads.weights.options import ReadOptions, RunOptions, parse_columns, parse_where  # noqa: E402
from raddle.workloads.weights.run import run_files  # noqa: E402
from raddle.workloads.weights.sample import write_sample  # noqa: E402
from raddle.workloads.weights.work import draw_page  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from raddle.workloads.weights.work import PageJob

HEADER = "user_id,effectiveDateTime,weight\n"


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.csv.gz"
    write_sample(path, users=60, seed=7, rows_per_user=40)
    return path


def digests(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in {"summary.json", ".lock"}
    }


def accounted(summary: dict[str, Any], out: Path) -> Any:
    """Check the books, return the results."""
    assert summary == json.loads((out / "summary.json").read_text())
    assert summary["rows_read"] == summary["rows_used"] + sum(summary["rows_rejected"].values())
    with (out / "rejects.csv").open(newline="") as file:
        rejects = list(csv.DictReader(file))
    assert len(rejects) == sum(summary["rows_rejected"].values())
    results = pl.read_parquet(out / "results.parquet")
    assert results.height == summary["rows_used"] == sum(summary["readings"].values())
    assert results["line"].n_unique() == results.height
    assert not set(results["line"]) & {int(row["line"]) for row in rejects}
    assert results["user_id"].n_unique() == summary["users"]
    assert (
        results.with_columns(pl.col("user_id").cast(pl.String))
        .sort("user_id", "time", "line")["line"]
        .equals(results["line"])
    )
    with closing(sqlite3.connect(out / "state.sqlite")) as base:
        users, readings = base.execute("SELECT count(*), sum(accepted + rejected) FROM user_state").fetchone()
    assert (users, readings or 0) == (summary["users"], summary["rows_used"])
    return results


def write(path: Path, *rows: str) -> Path:
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


# -------------------------------------------------------------------------------------------------------- real files


def test_krone(data: Path, tmp_path: Path) -> None:
    columns = parse_columns(["user=subject,time=day,weight=body_weight"])
    options = RunOptions(out=tmp_path, read=ReadOptions(columns=columns, time_unit="days"), backend="serial")
    summary = run_files([data / "weights/krone2020_pone.0232680.s001.csv"], options)
    accounted(summary, tmp_path)
    assert (summary["rows_read"], summary["rows_rejected"], summary["users"]) == (756, {"no_weight": 61}, 12)
    assert len(list((tmp_path / "users").iterdir())) == 12
    assert (tmp_path / "population.html").exists()


def test_syngrowth(data: Path, tmp_path: Path) -> None:
    columns = parse_columns(["user=subjid,time=agedays,weight=measurement"])
    read = ReadOptions(columns=columns, time_unit="days", where=parse_where(["param=WEIGHTKG"]))
    options = RunOptions(out=tmp_path, read=read, backend="serial", pages=False)
    summary = run_files([data / "weights/growthcleanr_syngrowth.csv.gz"], options)
    results = accounted(summary, tmp_path)
    assert summary["rows_read"] == 77_721
    assert summary["rows_rejected"] == {"exact_duplicate": 1_192, "out_of_range": 1, "where": 77_721 - 42_979}
    assert summary["users"] == 2_697
    assert not (tmp_path / "users").exists()
    children = results.filter(pl.col("time") < 2000)
    # The file has injected errors, most of them among the young. No labels: what is refused there was read by eye.
    assert children["accepted"].mean() > 0.93
    assert results["accepted"].mean() > 0.97
    assert summary["readings"]["initialization"] < 2 * summary["users"]


# ------------------------------------------------------------------------------------------------ the same every time


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"retro": True}], ids=["plain", "with hindsight"])
def test_one_worker_two_threads_two_processes_or_none_write_the_same_bytes(
    more: dict[str, Any], sample: Path, tmp_path: Path
) -> None:
    config = tmp_path / "off.toml"
    config.write_text("[threading]\nenabled = false\n")
    seen = {}
    for backend, workers in (("serial", 1), ("threads", 2), ("processes", 2), ("auto", 0)):
        out = tmp_path / f"{backend}{workers}"
        options = RunOptions(out=out, backend=backend, workers=workers, **more)  # type: ignore[arg-type]
        accounted(run_files([sample], options), out)
        seen[backend] = digests(out)
    out = tmp_path / "disabled"
    accounted(run_files([sample], RunOptions(out=out, config=load_config(config), **more)), out)
    seen["enabled = false"] = digests(out)
    assert len([name for name in seen["serial"] if name.startswith("users/")]) == 60
    assert {name: found == seen["serial"] for name, found in seen.items()} == dict.fromkeys(seen, True)


def test_hindsight_adds_a_smoother_line(sample: Path, tmp_path: Path) -> None:
    run_files([sample], RunOptions(out=tmp_path / "live", backend="serial", pages=False))
    run_files([sample], RunOptions(out=tmp_path / "late", backend="serial", retro=True))
    live, late = (pl.read_parquet(tmp_path / name / "results.parquet") for name in ("live", "late"))
    assert live["smoothed_weight"].null_count() == live.height
    kept = late.filter("accepted")
    assert kept["smoothed_weight"].null_count() == 0
    rough, smooth = (kept[name].diff().abs().median() for name in ("filtered_weight", "smoothed_weight"))
    assert smooth < rough
    assert '"h":[' in next((tmp_path / "late/users").iterdir()).read_text()


def test_a_second_run_removes_the_pages_of_users_that_are_gone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_files([write(tmp_path / "in.csv", "a,2025-01-01,70", "b,2025-01-01,60")], RunOptions(out=out, backend="serial"))
    run_files([write(tmp_path / "in.csv", "b,2025-01-01,60")], RunOptions(out=out, backend="serial"))
    assert [path.name for path in (out / "users").iterdir()] == ["b.html"]


def test_resume_does_only_what_is_missing(sample: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    journal = tmp_path / "runs.db"
    run_files([sample], RunOptions(out=first, backend="threads", workers=2))
    options = RunOptions(out=again, backend="threads", workers=2, journal=journal, name="w")
    run_files([sample], options)
    pages = sorted((again / "users").iterdir())
    pages[0].unlink()
    pages[1].write_text("something else")
    (again / "results.parquet").unlink()
    summary = run_files([sample], replace(options, resume=True))
    assert (summary["engine"]["resumed"], summary["engine"]["attempts"]) == (1, 0)
    assert summary["pages"] == {"drawn": 2, "kept": 58, "failed": 0}
    assert digests(again) == digests(first)


def test_resume_notices_a_changed_input(tmp_path: Path) -> None:
    path, journal = tmp_path / "in.csv", tmp_path / "runs.db"
    options = RunOptions(out=tmp_path / "out", backend="serial", journal=journal)
    run_files([write(path, "a,2025-01-01,70", "b,2025-01-01,60")], options)
    summary = run_files([write(path, "a,2025-01-01,70", "b,2025-01-01,61")], replace(options, resume=True))
    assert summary["engine"]["resumed"] == 0
    results = pl.read_parquet(tmp_path / "out/results.parquet")
    assert results["weight_kg"].to_list() == [70, 61]
    history = History(journal)
    assert [row.label for run in history.runs() for row in history.outcomes(run.id)] == ["users a to b"] * 2


# ------------------------------------------------------------------------------------------------- from file to file


def test_a_second_file_goes_on_exactly_where_the_first_ended(tmp_path: Path) -> None:
    days = [f"2025-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 28, 3)]
    rows = [
        f"{user},{day},{weight + at / 10}" for user, weight in (("a", 70), ("b", 90)) for at, day in enumerate(days)
    ]
    rows += ["a,2025-02-04 12:00:00,95", "c,2025-02-01,55"]
    early = [row for row in rows if ",2025-01" in row]
    # the second file also brings one row from before the first one's end
    late = [row for row in rows if ",2025-01" not in row]
    early.remove("b,2025-01-13,90.4")
    late.append("b,2025-01-13,90.4")
    state = tmp_path / "state.sqlite"

    def run(name: str, content: list[str], **more: Any) -> dict[str, Any]:
        file = write(tmp_path / f"{name}.csv", *content)
        return run_files([file], RunOptions(out=tmp_path / name, backend="serial", pages=False, **more))

    run("whole", rows)
    run("first", early, state=state)
    summary = run("second", late, state=state)
    assert summary["revisions"] > 0  # the row in between changed what came after it
    wanted, got = (
        {
            (row["user_id"], row["time"], row["weight_kg"]): (row["stage"], row["filtered_weight"], row["trend"])
            for name in names
            for row in pl.read_parquet(tmp_path / name / "results.parquet").to_dicts()
        }
        for names in (["whole"], ["first", "second"])
    )
    revised = {}
    with (tmp_path / "second/revisions.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            revised[row["user_id"], row["time"][:19].replace("T", " ")] = row
    for (user, time, weight), said in got.items():
        row = revised.get((user, f"{time:%Y-%m-%d %H:%M:%S}"))
        stage = row["new_stage"] if row else said[0]
        filtered = float(row["new_filtered_weight"]) if row else said[1]
        assert (stage, filtered) == pytest.approx(wanted[user, time, weight][:2], abs=1e-9), (user, time)
    with closing(sqlite3.connect(state)) as base, closing(sqlite3.connect(tmp_path / "whole/state.sqlite")) as one:
        question = (
            "SELECT user_id, weight_kg, trend_kg_day, p00, p01, p11, readings, accepted FROM user_state ORDER BY 1"
        )
        assert base.execute(question).fetchall() == one.execute(question).fetchall()


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    file, state = write(tmp_path / "in.csv", "a,2025-01-01,70", "a,2025-01-02,71"), tmp_path / "state.sqlite"
    options = RunOptions(out=tmp_path / "out", state=state, backend="serial")
    run_files([file], options)
    before = (sha256(state.read_bytes()).hexdigest(), digests(tmp_path / "out"))
    summary = run_files([file], options)
    assert summary["nothing_new"]
    assert (sha256(state.read_bytes()).hexdigest(), digests(tmp_path / "out")) == before


def test_other_rules_are_not_mixed_into_a_state(tmp_path: Path) -> None:
    file, state = write(tmp_path / "in.csv", "a,2025-01-01,70"), tmp_path / "state.sqlite"
    run_files([file], RunOptions(out=tmp_path / "out", state=state, backend="serial"))
    other = RunOptions(out=tmp_path / "out", state=state, backend="serial", profile="conservative")
    with pytest.raises(raddle.ConfigError, match="balanced"):
        run_files([file], other)


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv", "a,2025-01-01,70")

    def meddle(job: PageJob) -> None:
        draw_page(job)
        run_files([file], RunOptions(out=tmp_path / "out", backend="serial"))

    summary = run_files([file], RunOptions(out=tmp_path / "out", backend="serial"), draw=meddle)
    assert "another run is writing there" in summary["users_failed"][0]["error"]


# ------------------------------------------------------------------------------------------------- pages that fail


def hang_at_b(job: PageJob) -> None:
    """As draw_page, but never ends for the user b. An abandoned thread that spins would slow all tests after it."""
    if job.user == "b":
        threading.Event().wait()
    draw_page(job)


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_page_that_hangs_is_given_up_and_the_others_are_drawn(backend: str, tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv", *(f"{user},2025-01-01,70" for user in "abcdef"))
    table = VisualizationTable(threading=VisualizationThreading(timeout_seconds=0.5))
    options = RunOptions(out=tmp_path / "out", backend=backend, workers=2, config=Config(visualization=table))  # type: ignore[arg-type]
    summary = run_files([file], options, draw=hang_at_b)
    assert [(failed["user_id"], failed["status"]) for failed in summary["users_failed"]] == [("b", "timed_out")]
    assert summary["pages"] == {"drawn": 5, "kept": 0, "failed": 1}
    assert len(list((tmp_path / "out/users").iterdir())) == 6
    assert "timed_out" in (tmp_path / "out/users/b.html").read_text()
    assert "b" in pl.read_parquet(tmp_path / "out/results.parquet")["user_id"].to_list()


def test_pages_may_be_switched_off_in_the_configuration(sample: Path, tmp_path: Path) -> None:
    config = tmp_path / "no-pages.toml"
    config.write_text("[visualization]\nenabled = false\n")
    summary = run_files([sample], RunOptions(out=tmp_path / "out", config=load_config(config)))
    assert summary["pages"] == {"drawn": 0, "kept": 0, "failed": 0}
    assert not list((tmp_path / "out").rglob("*.html"))


def test_little_memory_makes_the_pool_smaller_and_loses_nothing(sample: Path, tmp_path: Path) -> None:
    config = tmp_path / "tight.toml"
    config.write_text("[threading.memory]\nviz_memory_limit_mb = 1_000_000_000\n")  # nobody has that much
    tight, ample = tmp_path / "tight", tmp_path / "ample"
    shrunk = run_files([sample], RunOptions(out=tight, workers=2, config=load_config(config)))
    usual = run_files([sample], RunOptions(out=ample, workers=2))
    assert (shrunk["options"]["workers"]["pages"], usual["options"]["workers"]["users"]) == (1, 2)
    assert shrunk["pages"] == {"drawn": 60, "kept": 0, "failed": 0}
    assert digests(tight) == digests(ample)


def test_a_page_that_cannot_be_written_does_not_stop_the_others(tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv", *(f"{user},2025-01-01,70" for user in "abc"))
    out = tmp_path / "out"
    (out / "users/b.html").mkdir(parents=True)  # the page of b cannot take its place
    answer = CliRunner().invoke(workload.cli(), ["run", str(file), "-o", str(out), "--backend", "serial", "--json"])
    summary = json.loads(answer.stdout)
    assert answer.exit_code == 1
    assert [(failed["user_id"], failed["status"]) for failed in summary["users_failed"]] == [("b", "failed")]
    assert "IsADirectoryError" in summary["users_failed"][0]["error"]
    assert pl.read_parquet(out / "results.parquet")["user_id"].to_list() == ["a", "b", "c"]
    assert [path.name for path in out.rglob(".*")] == [".lock"]


@pytest.mark.parametrize(("users", "batch", "expected"), [(3, 10, 3), (25, 10, 3), (25, 7, 4)])
def test_progress_names_each_user_when_few_and_counts_batches_when_many(
    users: int, batch: int, expected: int, tmp_path: Path
) -> None:
    file = write(tmp_path / "in.csv", *(f"user-{at:02},2025-01-01,70" for at in range(users)))
    config = tmp_path / "config.toml"
    config.write_text(f"[visualization.threading]\nbatch_size = {batch}\n")
    argv = ["run", str(file), "-o", str(tmp_path / "out"), "--progress", "line", "--config", str(config)]
    told = CliRunner().invoke(workload.cli(), argv).stderr.splitlines()
    assert len(told) == expected
    if users == 3:
        assert [line[:7] for line in told] == ["  [1/3]", "  [2/3]", "  [3/3]"]
        assert sorted(line[8:] for line in told) == [f"User user-{at:02} ✓" for at in range(3)]
    else:
        counts = [*range(batch, users + 1, batch), *([users] if users % batch else [])]
        assert told == [f"  Progress: {count}/{users}" for count in counts]


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "none.csv", "-o", "out"], "there is no such file"),
        (["run", "in.csv", "-o", "out", "--columns", "weight=wieght"], "did you mean 'weight'?"),
        (["run", "in.csv", "-o", "out", "--where", "unit"], "COLUMN=VALUE"),
        (["run", "in.csv", "-o", "in.csv"], "cannot write there"),
        (["run", "in.csv", "-o", "out", "--backend", "serial", "--timeout", "3"], "use backend='threads'"),
        (["run", "in.csv", "-o", "out", "--resume"], "journal"),
        (["run", "in.csv", "-o", "out", "--profile", "balancd"], "did you mean 'balanced'?"),
        (["run", "in.csv", "-o", "out", "--preset", "fitbitt"], "did you mean 'fitbit'?"),
        (["run", "in.csv", "-o", "out", "--config", "bad.toml"], "did you mean 'user_pool_size'?"),
        (["run", "in.csv", "-o", "out", "--since", "soon"], "since"),
        (["run", "in.csv", "-o", "out", "--heights", "none.csv"], "none.csv"),
        (["run", "in.csv", "-o", "out", "--users", "none.txt"], "none.txt"),
        (["run", "in.csv", "-o", "out", "--state", "in.csv"], "in.csv"),
        (["profiles", "balancd"], "did you mean 'balanced'?"),
        (["print", "nowhere"], "nowhere"),
        (["sample", "3", "-o", "in.csv/x.csv"], "cannot write there"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_remedy(arguments: list[str], hint: str, tmp_path: Path) -> None:
    write(tmp_path / "in.csv", "a,2025-01-01,70")
    (tmp_path / "bad.toml").write_text("[threading]\nuser_pol_size = 1\n")
    argv = [sys.executable, "-m", "raddle", "weights", *arguments]
    answer = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 2, answer.stderr
    assert hint in answer.stderr
    assert "Traceback" not in answer.stderr
    assert {path.name for path in tmp_path.rglob(".*")} <= {".lock", ".work"}


def test_a_file_without_rows_gives_empty_results(tmp_path: Path) -> None:
    summary = run_files([write(tmp_path / "in.csv")], RunOptions(out=tmp_path / "out", backend="serial"))
    assert (summary["rows_read"], summary["users"]) == (0, 0)
    assert pl.read_parquet(tmp_path / "out/results.parquet").height == 0
    assert (tmp_path / "out/index.html").exists()
    assert (tmp_path / "out/population.html").exists()


def test_users_with_hostile_ids(tmp_path: Path) -> None:
    users = ["../../evil", "a/b", "x" * 1000, "Anna", "anna", "<script>alert(1)</script>", "ü"]
    file = write(tmp_path / "in.csv", *(f"{user},2025-01-01,70" for user in users))
    summary = run_files([file], RunOptions(out=tmp_path / "out", backend="serial"))
    accounted(summary, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out/users").iterdir()} == set(map(page_name, users))
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out"}


def test_a_missing_library_says_what_to_install() -> None:
    with pytest.raises(raddle.MissingExtra, match=r"polars is not installed: pip install 'raddle\[weights\]'"):
        needed(pages=True, find=lambda _name: None)


# ----------------------------------------------------------------------------------------------------------- sample


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    runner = CliRunner()
    for name, seed in (("a.csv.gz", "3"), ("b.csv.gz", "3"), ("c.csv.gz", "4")):
        answer = runner.invoke(workload.cli(), ["sample", "5", "-o", str(tmp_path / name), "--seed", seed])
        assert answer.exit_code == 0
    one, same, other = ((tmp_path / name).read_bytes() for name in ("a.csv.gz", "b.csv.gz", "c.csv.gz"))
    assert one == same != other
    assert gzip.decompress(one).decode().startswith("user_id,effectiveDateTime,source_type,weight,unit\n")


def test_the_sample_has_all_kinds_of_trouble(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    write_sample(path, users=200, seed=1, rows_per_user=60)
    summary = run_files([path], RunOptions(out=tmp_path / "out", backend="serial", pages=False))
    results = accounted(summary, tmp_path / "out")
    kinds = {
        "exact_duplicate",
        "no_weight",
        "unit_not_weight",
        "not_a_number",
        "out_of_range",
        "bad_time",
        "unknown_unit",
    }
    assert kinds <= set(summary["rows_rejected"])
    assert summary["readings"]["kalman_deviation"] > 100
    assert results["source"].n_unique() >= 5
    assert results["line"].to_list() != sorted(results["line"])
    assert results["restart"].value_counts()["count"].min() > 0
    kilograms = results.filter("accepted")["filtered_weight"]
    assert 30 < kilograms.min() < kilograms.max() < 260
