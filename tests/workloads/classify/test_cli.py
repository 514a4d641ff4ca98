"""`raddle classify` as a user meets it."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from raddle.testing.upstream import Plan, upstream_process
from raddle.workloads.classify.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = "from raddle.workloads.classify.cli import app; app(prog_name='raddle classify')"
QUIET = ("--progress", "none")


def run(*words: object, code: int = 0) -> Any:
    result: Any = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def argv(*words: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *map(str, words)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text().splitlines()]


def catalogue(folder: Path, names: list[str] | None = None) -> Path:
    path = folder / "in.csv"
    lines = (f"{place},{name}" for place, name in enumerate(names or ["Corner sofa", "Bunk bed", "Desk lamp"]))
    path.write_text("\n".join(["id,name", *lines]) + "\n")
    return path


@pytest.fixture
def upstream() -> Iterator[Any]:
    with upstream_process(Plan(latency=0.02, by_item={"fatal": ("400",) * 9})) as stub:
        yield stub


# ---------------------------------------------------------------------------------------------------------- offline


def test_offline_by_text(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    result = run("run", catalogue(tmp_path), "-o", out, *QUIET)
    assert [(row["id"], row["category"], row["status"]) for row in rows_of(out)] == [
        *(("0", "SOFA", "ok"), ("1", "BED", "ok"), ("2", "LIGHTING", "ok")),
    ]
    assert "3 items in" in result.stderr
    assert "status: ok 3" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_standard_output_and_the_summary_as_json(tmp_path: Path) -> None:
    result = run("run", catalogue(tmp_path), "--json", "--limit", 2, *QUIET)
    assert [json.loads(line)["category"] for line in result.stdout.splitlines()] == ["SOFA", "BED"]
    assert json.loads(result.stderr)["status"] == {"ok": 2}
    result = run("run", catalogue(tmp_path), "--json", "-o", tmp_path / "out.jsonl", *QUIET)
    assert json.loads(result.stdout)["items"] == 3


def test_some_rows_are_none(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"name": "Sofa"}\n{"name": \n{"id": 7}\n')
    out = tmp_path / "out.jsonl"
    result = run("run", source, "-o", out, *QUIET, code=1)
    assert [row["status"] for row in rows_of(out)] == ["ok", "invalid", "invalid"]
    assert "ok 1" in result.stderr
    assert "invalid 2" in result.stderr
    assert (tmp_path / "out.jsonl.journal").exists()  # there is something to do again


def test_a_folder_of_pictures_offline(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    Image.new("RGB", (64, 64), "white").save(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"broken")
    out = tmp_path / "out.jsonl"
    run("run", folder, "-o", out, *QUIET, code=1)
    first, second = rows_of(out)
    assert (first["id"], first["status"]) == ("a.png", "ok")
    assert (second["id"], second["status"]) == ("b.jpg", "failed")
    assert "not a picture" in second["error"]
    run("run", folder, "-o", out, "--text-fallback", *QUIET)
    assert rows_of(out)[1]["flags"] == ["text_fallback"]


def test_a_picture_on_the_own_machine_is_not_fetched(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"name": "Sofa", "image_url": "http://127.0.0.1/secret.png"}\n')
    result = run("run", source, "--mode", "image", *QUIET, code=1)
    assert "private or reserved" in json.loads(result.stdout)["error"]


def test_a_journal_with_labels_of_another_run_stays(tmp_path: Path, upstream: Any) -> None:
    source = catalogue(tmp_path, ["Sofa category=SOFA", "Bed item=fatal", "Desk category=DESK"])
    out, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal"
    options = ("--provider", "openai", "--endpoint", upstream.url, *QUIET)
    run("run", source, "-o", out, *options, "--model", "one", code=1)
    for other in (("--model", "two", "--limit", 1, "--resume"), ("--model", "one", "--limit", 1, "--resume")):
        run("run", source, "-o", out, *options, *other)
        assert journal.exists()
    result = run("run", source, "-o", out, *options, "--model", "one", "--resume", code=1)
    assert "3 of them taken from the journal" in result.stderr


def test_who_forgets_to_resume_is_told(tmp_path: Path, upstream: Any) -> None:
    source = catalogue(tmp_path, ["Bed item=fatal"])
    options = ("-o", tmp_path / "out.csv", "--provider", "openai", "--endpoint", upstream.url, "--model", "m", *QUIET)
    assert "--resume" not in run("run", source, *options, code=1).stderr
    assert "--resume would have gone on" in run("run", source, *options, code=1).stderr
    assert "--resume" not in run("run", source, *options, "--retry-failed", code=1).stderr


def test_an_endpoint_that_is_not_there_is_named_as_the_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    out = tmp_path / "out.csv"
    options = ("--provider", "openai", "--endpoint", url, "--model", "m", "--timeout", "2", *QUIET)
    run(
        "run",
        catalogue(tmp_path, ["Sofa"] * 3 + [f"Bed {number}" for number in range(97)]),
        "-o",
        out,
        *options,
        code=1,
    )
    rows = rows_of(out)
    assert {row["status"] for row in rows} <= {"timed_out", "failed"}
    # on a machine that is very busy, a few may meet the deadline of the run, which does not know the reason
    assert sum("the connection failed" in row["error"] for row in rows) > len(rows) / 2


def test_a_wrong_path_of_an_endpoint_is_told(tmp_path: Path, upstream: Any) -> None:
    out = tmp_path / "out.csv"
    options = ("--provider", "openai", "--endpoint", f"{upstream.url}/chat/completions", "--model", "m", *QUIET)
    run("run", catalogue(tmp_path, ["Sofa"]), "-o", out, *options, code=1)
    assert "is the url right" in rows_of(out)[0]["error"]


@pytest.mark.slow
def test_the_furniture_catalogue(data: Path, tmp_path: Path) -> None:
    source = data / "furniture/furniture.csv"
    if not source.is_file():
        pytest.skip(f"no {source}")
    out = tmp_path / "out.csv"
    result = run("run", source, "-o", out, "--json", *QUIET)
    assert json.loads(result.stdout)["status"] == {"ok": 397}
    rows = rows_of(out)
    with source.open(newline="") as file:
        assert [row["id"] for row in rows] == [row["id"] for row in csv.DictReader(file)]
    found = {row["name"]: row["category"] for row in rows}
    assert (found["Armchair"], found["Bed"]) == ("CHAIR", "BED")


def test_taxonomy(tmp_path: Path) -> None:
    text = run("taxonomy").stdout
    assert len(tomllib.loads(text)["category"]) >= 15
    mine = tmp_path / "mine.toml"
    mine.write_text('[[category]]\nname = "BOAT"\naliases = ["ship", "sofa"]\n')
    result = run("run", catalogue(tmp_path), "--taxonomy", mine, *QUIET)
    assert json.loads(result.stdout.splitlines()[0])["category"] == "BOAT"


# --------------------------------------------------------------------------------------------------------- upstream


def test_openai_with_cache(tmp_path: Path, upstream: Any) -> None:
    source = catalogue(tmp_path, [f"Sofa category=SOFA {place % 3}" for place in range(9)])
    options = ("--provider", "openai", "--endpoint", upstream.url, "--model", "stub", "--cache", tmp_path / "c.db")
    first = json.loads(run("run", source, "-o", tmp_path / "out.csv", *options, "--json", *QUIET).stdout)
    assert (first["status"], first["calls"], first["cached"]) == ({"ok": 9}, 3, 6)
    again = json.loads(run("run", source, "-o", tmp_path / "out.csv", *options, "--json", *QUIET).stdout)
    assert (again["calls"], again["cached"]) == (0, 9)
    assert upstream.seen().calls == 3
    result = run("run", source, "-o", tmp_path / "out.csv", *options, "--no-cache", *QUIET)
    assert "endpoint: 3 calls" in result.stderr
    assert upstream.seen().calls == 6


def test_openai_by_picture(tmp_path: Path, upstream: Any) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    for number, colour in enumerate(("white", "white", "black")):
        Image.new("RGB", (64, 64), colour).save(folder / f"{number} category=BED.png")
    options = ("--provider", "openai", "--endpoint", upstream.url, "--model", "stub")
    run("run", folder, "-o", tmp_path / "out.jsonl", *options, *QUIET)
    assert [(row["category"], row["provider"]) for row in rows_of(tmp_path / "out.jsonl")] == [
        ("BED", "openai:stub")
    ] * 3


def test_what_failed_is_done_again_when_asked(tmp_path: Path, upstream: Any) -> None:
    source = catalogue(tmp_path, ["Sofa category=SOFA", "Bed item=fatal", "Desk category=DESK"])
    options = ("--provider", "openai", "--endpoint", upstream.url, "--model", "stub", *QUIET)
    out = tmp_path / "out.jsonl"
    run("run", source, "-o", out, *options, code=1)
    assert [row["status"] for row in rows_of(out)] == ["ok", "failed", "ok"]
    calls = upstream.seen().calls
    result = run("run", source, "-o", out, *options, "--resume", code=1)
    assert "3 of them taken from the journal" in result.stderr
    assert upstream.seen().calls == calls
    run("run", source, "-o", out, *options, "--retry-failed", code=1)
    assert upstream.seen().items["fatal"] > 1
    assert [row["category"] for row in rows_of(out)] == ["SOFA", None, "DESK"]


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(tmp_path: Path) -> None:
    total = 120
    source = catalogue(tmp_path, [f"Sofa category=SOFA item=n{place}" for place in range(total)])
    out = tmp_path / "out.jsonl"
    with upstream_process(Plan(latency=0.05)) as upstream:
        words = ("run", source, "-o", out, "--provider", "openai", "--endpoint", upstream.url, "--model", "stub")
        words = (*words, "--workers", 4)
        with subprocess.Popen(argv(*words, "--progress", "jsonl"), stderr=subprocess.PIPE) as child:
            assert child.stderr is not None
            while upstream.seen().calls < total // 4:
                child.stderr.readline()  # something has happened
            os.kill(child.pid, signal.SIGKILL)
        assert not out.exists()
        assert (tmp_path / "out.jsonl.part").exists()
        before = upstream.seen().calls
        assert before < total
        summary = json.loads(run(*words, "--resume", "--json", *QUIET).stdout)
        seen = upstream.seen()
    assert summary["status"] == {"ok": total}
    assert summary["resumed"] > 0
    assert [row["id"] for row in rows_of(out)] == [str(place) for place in range(total)]
    assert seen.calls <= total + 8  # what was under way, and not yet written down
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(tmp_path: Path, number: int, code: int) -> None:
    source = catalogue(tmp_path, [f"Sofa item=n{place}" for place in range(500)])
    out = tmp_path / "out.jsonl"
    with upstream_process(Plan(latency=0.05)) as upstream:
        words = ("run", source, "-o", out, "--provider", "openai", "--endpoint", upstream.url, "--model", "stub")
        with subprocess.Popen(
            argv(*words, "--workers", 2, "--progress", "jsonl"), stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stderr is not None
            while upstream.seen().calls < 10:
                child.stderr.readline()
            child.send_signal(number)
            said = child.stderr.read()
    assert child.returncode == code, said
    assert "interrupted; the same command with --resume goes on" in said
    assert "Traceback" not in said
    assert not out.exists()


def test_there_and_back_through_files_of_the_batch_api(tmp_path: Path) -> None:
    source = catalogue(tmp_path, ["Sofa", "", "Desk"])
    requests = tmp_path / "requests.jsonl"
    result = run("batch-export", source, "-o", requests, "--model", "stub", code=1)
    assert "2 questions in" in result.stderr
    assert "nothing to classify" in result.stderr
    asked = rows_of(requests)
    assert [one["custom_id"] for one in asked] == ["0", "2"]
    label = json.dumps({"category": "SOFA", "confidence": 0.9, "reasoning": "It says so."})
    body = {"model": "stub", "choices": [{"message": {"content": label}, "finish_reason": "stop"}]}
    results = tmp_path / "results.jsonl"
    results.write_text(json.dumps({"custom_id": "0", "response": {"status_code": 200, "body": body}}) + "\n")
    out = tmp_path / "out.jsonl"
    run("batch-import", source, results, "-o", out, code=1)
    assert [(row["id"], row["category"], row["status"]) for row in rows_of(out)] == [
        *(("0", "SOFA", "ok"), ("1", None, "invalid"), ("2", None, "failed")),
    ]


def test_pictures_for_the_batch_api(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (600, 300), "white").save(folder / f"{number}.png")
    run("batch-export", folder, "-o", tmp_path / "r.jsonl", "--model", "stub")
    assert all("data:image/jpeg;base64," in line for line in (tmp_path / "r.jsonl").read_text().splitlines())


# ------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("run", "gone.csv"), "neither a file nor a folder"),
        (("run", "{in}", "-o", "{in}"), "is the input"),
        (("run", "{in}", "-o", "out.xlsx"), ".csv, .tsv, .jsonl or .ndjson"),
        (("run", "{in}", "--resume"), "--resume needs a journal"),
        (("run", "{in}", "--provider", "openai"), "--endpoint URL --model NAME"),
        (("run", "{in}", "--provider", "openai", "--endpoint", "http://h/v1"), "--endpoint needs --model"),
        (("run", "{in}", "--endpoint", "http://h/v1", "--model", "m"), "--provider openai or cascade"),
        (("run", "{in}", "--model", "m"), "belong to --endpoint"),
        (("run", "{in}", "--margin", "3"), "margin=3.0"),
        (("run", "{in}", "--image-column", "Bild"), "there is no such column"),
        (("run", "{in}", "--taxonomy", "gone.toml"), "gone.toml"),
        (("run", "{in}", "--config", "gone.toml"), "No such file"),
        (("serve", "--host", "0.0.0.0"), "token"),
        (("serve", "--token-env", "RADDLE_NO_SUCH_TOKEN"), "is not set"),
    ],
)
def test_usage(tmp_path: Path, words: tuple[str, ...], hint: str) -> None:
    source = catalogue(tmp_path)
    result = run(*(word.replace("{in}", str(source)) for word in words), code=2)
    assert hint in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_who_reads_goes_away(tmp_path: Path) -> None:
    source = catalogue(tmp_path, ["Corner sofa"] * 3000)
    with subprocess.Popen(argv("run", source, *QUIET), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        said = child.stderr.read()
    assert child.returncode == 128 + signal.SIGPIPE
    assert b"Traceback" not in said


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'aiohttp', 'numpy', 'onnxruntime', 'PIL', 'fastapi', 'pydantic', 'uvicorn'}"
    code = f"import sys, raddle.workloads.classify.cli; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_serve_answers(tmp_path: Path) -> None:
    import aiohttp

    words = argv("serve", "--port", 0, "--jobs", tmp_path / "jobs")

    async def main() -> None:
        child = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
        assert child.stderr is not None
        said = b""
        while b"http://" not in said:
            line = await child.stderr.readline()
            assert line, said
            said += line
        url = "http://" + said.decode().rpartition("http://")[2].split()[0].strip("/")
        async with aiohttp.ClientSession() as session, session.get(url + "/health") as answer:
            assert answer.status == 200
        child.send_signal(signal.SIGTERM)
        await child.communicate()
        assert child.returncode in {0, 143, -signal.SIGTERM}

    asyncio.run(main())
