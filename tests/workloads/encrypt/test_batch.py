"""Batches: which files become what, and what a resume makes of a folder and a journal that a kill left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("cryptography", reason="the extra `encrypt` is not installed")

from raddle.errors import ConfigError
from raddle.journal.history import History
from raddle.workloads.encrypt.batch.plan import content_id, make_folders, plan
from raddle.workloads.encrypt.batch.published import Published
from raddle.workloads.encrypt.batch_key import IDENTITY_FILE

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from command_parts import key, run, tree

if TYPE_CHECKING:
    from collections.abc import Sequence


def put(folder: Path, **files: str | bytes) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def names(files: Sequence[object], out: Path, kind: Any = "seal", **more: Any) -> list[str]:
    more.setdefault("suffix", "" if kind == "open" else ".age")
    return [job.name for job in plan(kind, [str(file) for file in files], out, **more).jobs]


# ------------------------------------------------------------------------------------------------------ the plan


def test_a_folder_goes_as_with_cp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "in", a="1", sub__b="2", _dot_hidden="3")
    out, inside = tmp_path / "out", [".hidden.age", "a.age", "sub/b.age"]
    assert names([tmp_path / "in"], out, recursive=True) == [f"in/{name}" for name in inside]
    assert names([f"{tmp_path / 'in'}/."], out, recursive=True) == inside
    monkeypatch.chdir(tmp_path / "in")
    assert names(["."], out, recursive=True) == inside
    assert names(["sub/b", "a"], out) == ["b.age", "a.age"]


def test_what_a_folder_holds_besides_files_is_told(tmp_path: Path) -> None:
    put(tmp_path / "in", a="1", sub__b="2")
    (tmp_path / "in/link").symlink_to("a")
    (tmp_path / "in/far").symlink_to("sub")
    os.mkfifo(tmp_path / "in/pipe")
    found = plan("seal", [str(tmp_path / "in")], tmp_path / "out", suffix=".age", recursive=True)
    assert [job.name for job in found.jobs] == ["in/a.age", "in/sub/b.age"]
    assert sorted(Path(path).name for path, _ in found.left_out) == ["far", "link", "pipe"]
    # a link that is named is followed
    assert names([tmp_path / "in/link"], tmp_path / "out") == ["link.age"]


def test_outputs_and_the_journal_are_no_input(tmp_path: Path) -> None:
    put(tmp_path, a="1", out__old_dot_age="2", runs_dot_db="3", other_dot_db="4")
    put(tmp_path, **{"runs.db-wal": "5", "runs.db.lock": "6", "runs.db.values__1": "7", "runs.db.bak": "8"})
    found = names([f"{tmp_path}/."], tmp_path / "out", recursive=True, own=[tmp_path / "runs.db"])
    assert found == ["a.age", "other.db.age", "runs.db.bak.age"]


def test_opening_takes_sealed_files_and_leaves_the_key(tmp_path: Path) -> None:
    put(tmp_path / "in", **{"a.txt.age": "1", "b": "2", IDENTITY_FILE: "3", "sub__c.age": "4"})
    found = plan("open", [str(tmp_path / "in")], tmp_path / "out", recursive=True)
    assert [job.name for job in found.jobs] == ["in/a.txt", "in/sub/c"]
    assert {Path(path).name for path, _ in found.left_out} == {IDENTITY_FILE, "in"}
    # what is named itself may be called anything, but for the key
    assert names([tmp_path / "in/b"], tmp_path / "out", "open") == ["b"]
    with pytest.raises(ConfigError, match="nothing in them to open"):
        names([tmp_path / "in" / IDENTITY_FILE], tmp_path / "out", "open")


def test_sketching_takes_pictures_from_folders(tmp_path: Path) -> None:
    put(tmp_path / "in", **{"a.PNG": "1", "notes.txt": "2"})
    assert names([tmp_path / "in"], tmp_path / "out", "sketch", suffix=".sketch", recursive=True) == ["in/a.PNG.sketch"]
    assert names([tmp_path / "in/notes.txt"], tmp_path / "out", "sketch", suffix=".sketch") == ["notes.txt.sketch"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["nothing"], ["FILE=", "nothing", "No such file"]),
        (["in"], ["is a folder", "--recursive"]),
        (["pipe"], ["no regular file"]),
        (["a", "in/a"], ["'a'", "'in/a'", "a.age", "--recursive"]),
        (["a", "./a"], ["given twice"]),
        (["a", "link"], ["given twice"]),
        (["raddle-identity"], ["key", "rename"]),
        (["a\0b"], ["FILE="]),
    ],
)
def test_what_cannot_go_well_is_refused_before_anything_starts(
    files: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(put(tmp_path, a="1", in__a="2", **{"raddle-identity": "3"}))
    Path("other").mkdir()
    Path("other/a").symlink_to("../a")
    os.mkfifo("pipe")
    files = ["other/a" if file == "link" else file for file in files]
    with pytest.raises(ConfigError) as refused:
        names(files, Path("out"))
    assert all(word in str(refused.value) for word in words), refused.value
    assert not Path("out").exists()


def test_an_output_that_is_to_be_a_folder_too_is_refused(tmp_path: Path) -> None:
    put(tmp_path, x="1", **{"x.age__y": "2"})
    with pytest.raises(ConfigError, match="needs as a folder"):
        names([tmp_path / "x", tmp_path / "x.age"], tmp_path / "out", recursive=True)


def test_an_id_is_content_name_and_what_is_done(tmp_path: Path) -> None:
    put(tmp_path, a="1", b="1", sub__a="1")

    def of(file: str, kind: Any = "seal") -> bytes:
        return content_id(plan(kind, [str(tmp_path / file)], tmp_path / "out", suffix=".x").jobs[0])

    assert of("a") == of("sub/a") != of("b")
    before = of("a"), of("a", "sketch")
    assert before[0] != before[1]
    (tmp_path / "a").write_text("2")
    assert of("a") not in before
    job = plan("seal", [str(tmp_path / "a")], tmp_path / "out", suffix=".x").jobs[0]
    (tmp_path / "a").unlink()
    assert len(content_id(job)) == 32  # the item will say what is wrong


def test_folders_that_cannot_be_made_are_told(tmp_path: Path) -> None:
    put(tmp_path, a="1", out="2")
    with pytest.raises(ConfigError, match="cannot write there"):
        make_folders(plan("seal", [str(tmp_path / "a")], tmp_path / "out").jobs, tmp_path / "out")


# -------------------------------------------------------------------------------------------------------- resume


def test_only_the_very_file_is_taken_for_an_items_own(tmp_path: Path) -> None:
    log = Published.beside(tmp_path / "runs.db", "name")
    assert log != Published.beside(tmp_path / "runs.db", "other")
    file = put(tmp_path, a="content") / "a"
    with file.open("rb") as opened:
        log.note("key", opened.fileno(), {"bytes": 7})
    assert log.facts("key", str(file)) == {"bytes": 7}
    assert log.facts("other", str(file)) is None
    with Path(log.path).open("ab") as torn:
        torn.write(b'\n{"key": "tor')
    copy = tmp_path / "b"
    copy.write_bytes(b"content")
    with copy.open("rb") as opened:
        log.note("second", opened.fileno(), {"bytes": 7})
    assert log.facts("key", str(file)) == log.facts("second", str(copy)) == {"bytes": 7}
    assert log.facts("key", str(copy)) is None
    file.write_bytes(b"CONTENT")
    assert log.facts("key", str(file)) is None
    log.remove()
    assert log.facts("second", str(copy)) is None


#: seals with threads, and dies at the most awkward moment if it is told to
SESSION = """
    import os, signal, sys
    from dataclasses import dataclass, replace
    from pathlib import Path
    import raddle
    from raddle.workloads.encrypt.age import Lock, parse_recipient
    from raddle.workloads.encrypt.batch.plan import make_folders, plan
    from raddle.workloads.encrypt.batch.published import Published
    from raddle.workloads.encrypt.batch.run import BatchOptions, run_batch
    from raddle.workloads.encrypt.batch.work import Seal
    from raddle.workloads.encrypt.lending import lend

    @dataclass(frozen=True, slots=True)
    class Dying(Seal):
        def __call__(self, job):
            done = Seal.__call__(self, job)
            if job.source.endswith(os.environ["DIE"]):
                os.kill(os.getpid(), signal.SIGKILL)
            return done

    recipient, noting, journal, out, *files = sys.argv[1:]
    jobs = plan("seal", files, Path(out), suffix=".age").jobs
    make_folders(jobs, Path(out))
    published = Published.beside(Path(journal), "seal") if noting == "yes" else None
    with lend(Lock([parse_recipient(recipient)])) as loan:
        options = BatchOptions(name="seal", workers=1, journal=Path(journal), resume=True)
        totals = run_batch(Dying(loan, published=published), jobs, options, lambda o: print(o.item.name, o.status))
    print(dict(+totals))
"""


@pytest.mark.parametrize("noting", ["yes", "no"])
def test_an_output_that_the_journal_does_not_know_yet(noting: str, tmp_path: Path) -> None:
    file, recipient = key(tmp_path)
    put(tmp_path / "in", a="first", b="second", c="third")
    files = [str(tmp_path / "in" / name) for name in "abc"]
    argv = [sys.executable, "-c", dedent(SESSION), recipient, noting, str(tmp_path / "runs.db"), str(tmp_path / "out")]

    def session(die: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"DIE": die}
        return subprocess.run([*argv, *files], capture_output=True, text=True, check=False, env=env)

    assert session("/b").returncode == -9
    assert sorted(tree(tmp_path / "out")) == ["a.age", "b.age"]
    second = session("nowhere")
    assert second.returncode == 0, second.stderr
    lines = second.stdout.splitlines()
    # without the note nobody can tell whose b.age is, and nobody guesses
    assert lines[1] == ("b.age ok" if noting == "yes" else "b.age failed")
    assert lines[0] == "a.age ok"
    assert lines[2] == "c.age ok"
    assert not list(tmp_path.glob("*.published"))
    run("open", tmp_path / "out", "--recursive", "-o", tmp_path / "again", "-i", file)
    assert tree(tmp_path / "again/out") == tree(tmp_path / "in")


def lines(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def test_resume_goes_by_content_and_by_what_is_there(tmp_path: Path) -> None:
    _, recipient = key(tmp_path)
    put(tmp_path / "in", a="first", b="second", c="third")
    out = tmp_path / "out"
    words = ("seal", "--recursive", f"{tmp_path / 'in'}/.", "-o", out, "-r", recipient, "--json")
    words += ("--journal", tmp_path / "runs.db", "--resume")
    assert [line["status"] for line in lines(run(*words))] == ["ok"] * 3
    before = tree(out)
    assert [line.get("resumed") for line in lines(run(*words))] == [True] * 3

    # one output has gone, one was cut by somebody, one source is another now
    (out / "a.age").unlink()
    (out / "b.age").write_bytes(b"short")
    (tmp_path / "in/c").write_text("changed")
    told = {Path(line["file"]).name: line for line in lines(run(*words, code=1))}
    assert told["a"]["status"] == "ok"
    assert "resumed" not in told["a"]
    assert told["b"]["status"] == "failed"
    assert "5 bytes" in told["b"]["error"]["message"]
    assert "move it away" in told["b"]["error"]["message"]
    assert told["c"]["status"] == "failed"
    assert "never overwritten" in told["c"]["error"]["message"]
    assert (out / "c.age").read_bytes() == before["c.age"]

    # moved away, all is done; what failed before is tried again when asked
    (out / "b.age").unlink()
    (out / "c.age").unlink()
    told = {Path(line["file"]).name: line for line in lines(run(*words, "--retry-failed"))}
    assert [told[name]["status"] for name in "abc"] == ["ok"] * 3
    assert sorted(tree(out)) == ["a.age", "b.age", "c.age"]


def test_other_options_are_another_item(tmp_path: Path) -> None:
    _, recipient = key(tmp_path)
    put(tmp_path, a="first")
    words = ("seal", tmp_path / "a", "-o", tmp_path / "out", "-r", recipient, "--journal", tmp_path / "runs.db")
    run(*words)
    assert "never overwritten" in run(*words, "--resume", "--armor", code=1).stderr
    assert "1 of them taken" in run(*words, "--resume").stdout
    history = History(tmp_path / "runs.db")
    assert {row.label for made in history.runs() for row in history.outcomes(made.id)} == {"seal a.age"}


def test_resume_without_a_journal_is_refused(tmp_path: Path) -> None:
    _, recipient = key(tmp_path)
    words = ("seal", put(tmp_path, a="first") / "a", "-o", tmp_path / "out", "-r", recipient, "--resume")
    assert "journal" in run(*words, code=2).stderr


def test_after_a_failure_nothing_more_starts_if_so_asked(tmp_path: Path) -> None:
    _, recipient = key(tmp_path)
    put(tmp_path / "in", **{f"f{number:03}": "text" for number in range(200)})
    out = put(tmp_path / "out", **{"f000.age": "there"})
    words = ("seal", "--recursive", f"{tmp_path / 'in'}/.", "-o", out, "-r", recipient, "--workers", "1", "--json")
    told = lines(run(*words, "--on-error", "fail", code=1))
    assert len(told) == 200
    assert told[0]["status"] == "failed"
    assert {line["status"] for line in told[50:]} == {"cancelled"}
    assert (out / "f000.age").read_text() == "there"


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_every_backend_seals_and_opens(backend: str, tmp_path: Path) -> None:
    file, recipient = key(tmp_path)
    put(tmp_path / "in", a="", b=os.urandom(200_000), sub__c="x")
    words = ("--recursive", "--backend", backend, "--workers", "2")
    words = (*words[:3],) if backend == "serial" else words
    run("seal", f"{tmp_path / 'in'}/.", "-o", tmp_path / "out", "-r", recipient, *words)
    run("open", f"{tmp_path / 'out'}/.", "-o", tmp_path / "back", "-i", file, *words)
    assert tree(tmp_path / "back") == tree(tmp_path / "in")
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "back").glob("?")} == {"0o600"}
