"""Whole files, from rows to pages."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import raddle
from raddle.workloads.weights import workload
from raddle.workloads.weights.options import ReadOptions, RunOptions, parse_columns, parse_where
from raddle.workloads.weights.run import run_file
from raddle.workloads.weights.sample import write_sample

pl = pytest.importorskip("polars")


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.csv.gz"
    write_sample(path, users=60, seed=7, rows_per_user=40)
    return path


def digests(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "summary.json"
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
    assert results["user_id"].n_unique() == summary["users"] == summary["engine"]["ok"]
    assert results.sort("user_id", "time", "line").equals(results)
    with closing(sqlite3.connect(out / "state.sqlite")) as base:
        users, readings = base.execute("SELECT count(*), sum(accepted + rejected) FROM user_state").fetchone()
    assert (users, readings) == (summary["users"], summary["rows_used"])
    return results


def test_krone(data: Path, tmp_path: Path) -> None:
    columns = parse_columns(["user=subject,time=day,weight=body_weight"])
    options = RunOptions(out=tmp_path, read=ReadOptions(columns, "days"), backend="serial")
    summary = run_file(data / "weights/krone2020_pone.0232680.s001.csv", options)
    accounted(summary, tmp_path)
    assert (summary["rows_read"], summary["rows_rejected"], summary["users"]) == (756, {"no_weight": 61}, 12)
    assert len(list((tmp_path / "users").iterdir())) == 12


def test_syngrowth(data: Path, tmp_path: Path) -> None:
    columns = parse_columns(["user=subjid,time=agedays,weight=measurement"])
    read = ReadOptions(columns, "days", parse_where(["param=WEIGHTKG"]))
    options = RunOptions(out=tmp_path, read=read, backend="serial", pages=False)
    summary = run_file(data / "weights/growthcleanr_syngrowth.csv.gz", options)
    results = accounted(summary, tmp_path)
    assert summary["rows_read"] == 77_721
    assert summary["rows_rejected"] == {"exact_duplicate": 1_192, "out_of_range": 1, "where": 77_721 - 42_979}
    assert summary["users"] == 2_697
    assert not (tmp_path / "users").exists()
    children = results.filter(pl.col("time") < 2000)
    assert children["accepted"].mean() > 0.97


@pytest.mark.slow
def test_one_worker_two_threads_two_processes_write_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    seen = []
    for backend, workers in (("serial", 1), ("threads", 2), ("processes", 2), ("processes", 1)):
        out = tmp_path / f"{backend}{workers}"
        summary = run_file(sample, RunOptions(out=out, backend=backend, workers=workers))  # type: ignore[arg-type]
        accounted(summary, out)
        seen.append(digests(out))
    assert len(seen[0]) == 60 + 8
    assert seen[1:] == seen[:1] * 3


def test_resume_does_only_what_is_missing_and_draws_pages_that_are_gone(sample: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    journal = tmp_path / "runs.db"
    run_file(sample, RunOptions(out=first, backend="threads", workers=2))
    options = RunOptions(out=again, backend="threads", workers=2, journal=journal, name="w")
    run_file(sample, options)
    pages = sorted((again / "users").iterdir())
    pages[0].unlink()
    pages[1].write_text("something else")
    (again / "results.parquet").unlink()
    summary = run_file(sample, RunOptions(**{**_asdict(options), "resume": True}))
    assert (summary["engine"]["resumed"], summary["engine"]["attempts"], summary["pages_redrawn"]) == (60, 0, 2)
    assert digests(again) == digests(first)


def test_resume_notices_a_changed_input(tmp_path: Path) -> None:
    path, journal = tmp_path / "in.csv", tmp_path / "runs.db"
    header = "user_id,effectiveDateTime,weight\n"
    path.write_text(header + "a,2025-01-01,70\nb,2025-01-01,60\n")
    options = RunOptions(out=tmp_path / "out", backend="serial", journal=journal)
    run_file(path, options)
    path.write_text(header + "a,2025-01-01,70\nb,2025-01-01,61\n")
    summary = run_file(path, RunOptions(**{**_asdict(options), "resume": True}))
    assert (summary["engine"]["resumed"], summary["engine"]["ok"]) == (1, 2)
    results = pl.read_parquet(tmp_path / "out/results.parquet")
    assert results["weight_kg"].to_list() == [70, 61]


def test_a_user_that_cannot_be_processed_does_not_stop_the_others(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("user_id,effectiveDateTime,weight\na,2025-01-01,70\nb,2025-01-01,60\nc,2025-01-01,60\n")
    out = tmp_path / "out"
    (out / "users/b.html").mkdir(parents=True)  # the page of b cannot take its place
    answer = CliRunner().invoke(workload.cli(), ["run", str(path), "-o", str(out), "--backend", "serial", "--json"])
    summary = json.loads(answer.stdout)
    assert answer.exit_code == 1
    assert [(failed["user_id"], failed["status"]) for failed in summary["users_failed"]] == [("b", "failed")]
    assert "IsADirectoryError" in summary["users_failed"][0]["error"]
    assert pl.read_parquet(out / "results.parquet")["user_id"].to_list() == ["a", "c"]
    assert not list(out.rglob(".*"))


def _asdict(options: RunOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in RunOptions.__slots__}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "none.csv", "-o", "out"], "there is no such file"),
        (["run", "in.csv", "-o", "out", "--columns", "weight=wieght"], "did you mean 'weight'?"),
        (["run", "in.csv", "-o", "out", "--where", "unit"], "COLUMN=VALUE"),
        (["run", "in.csv", "-o", "in.csv"], "cannot write there"),
        (["run", "in.csv", "-o", "out", "--backend", "serial", "--timeout", "3"], "use backend='threads'"),
        (["run", "in.csv", "-o", "out", "--resume"], "journal"),
        (["sample", "3", "-o", "in.csv/x.csv"], "cannot write there"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_remedy(
    arguments: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("user_id,effectiveDateTime,weight\na,2025-01-01,70\n")
    answer = CliRunner().invoke(workload.cli(), arguments)
    assert answer.exit_code == 2
    assert hint in answer.stderr
    assert "Traceback" not in answer.output
    assert not list(Path().rglob(".*"))


def test_a_file_without_rows_gives_empty_results(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("user_id,effectiveDateTime,weight\n")
    summary = run_file(path, RunOptions(out=tmp_path / "out", backend="serial"))
    assert (summary["rows_read"], summary["users"]) == (0, 0)
    assert pl.read_parquet(tmp_path / "out/results.parquet").height == 0
    assert (tmp_path / "out/index.html").exists()


def test_users_with_hostile_ids(tmp_path: Path) -> None:
    users = ["../../evil", "a/b", "x" * 1000, "Anna", "anna", "<script>alert(1)</script>", "ü"]
    path = tmp_path / "in.csv"
    path.write_text("user_id,effectiveDateTime,weight\n" + "".join(f"{user},2025-01-01,70\n" for user in users))
    summary = run_file(path, RunOptions(out=tmp_path / "out", backend="serial"))
    accounted(summary, tmp_path / "out")
    assert len(list((tmp_path / "out/users").iterdir())) == len(users)
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out"}


def test_a_missing_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raddle.workloads.weights.run.find_spec", lambda name: None)
    with pytest.raises(raddle.MissingExtra, match=r"polars is not installed: pip install 'raddle\[weights\]'"):
        run_file(tmp_path / "in.csv", RunOptions(out=tmp_path))


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
    summary = run_file(path, RunOptions(out=tmp_path / "out", backend="serial", pages=False))
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
