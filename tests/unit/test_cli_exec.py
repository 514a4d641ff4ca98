"""`raddle exec`: templates, items, outputs, and the command as a whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle import ConfigError
from raddle.cli import _exit, main
from raddle.cli._arguments import open_arguments, split
from raddle.cli._jobs import jobs
from raddle.cli._template import parse

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Done:
    returncode: int
    stdout: bytes
    stderr: bytes


@pytest.fixture
def raddle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Done]:
    """`raddle exec` in this process and an empty folder; `items` are its input, as a file."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, items: bytes | None = None) -> Done:
        if items is not None:
            (tmp_path / "items").write_bytes(items)
            arguments = ("-a", "items", *arguments)
        code = main(["exec", *arguments])
        return Done(code, *capfdbinary.readouterr())

    return call


def lines(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# ------------------------------------------------------------------------------------------------------- templates


@pytest.mark.parametrize(
    ("item", "expected"),
    [  # as GNU parallel 20221122 has them
        ("a/b.tar.gz", ["a/b.tar.gz", "a/b.tar", "b.tar.gz", "a", "b.tar"]),
        ("b.jpg", ["b.jpg", "b", "b.jpg", ".", "b"]),
        ("a.d/b", ["a.d/b", "a.d/b", "b", "a.d", "b"]),
        ("/b.x", ["/b.x", "/b", "b.x", "/", "b"]),
        ("{/} {#}", ["{/} {#}", "{/} {#}", "} {#}", "{", "} {#}"]),
        ("", ["", "", "", ".", ""]),
    ],
)
def test_replacement_strings(item: str, expected: list[str]) -> None:
    template = parse(["cmd", "{}", "{.}", "{/}", "{//}", "{/.}"])
    assert template.argv(item, 7)[1:] == expected


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (["echo"], ["echo", "a b"]),
        (["echo", "-n"], ["echo", "-n", "a b"]),
        (["echo", "{#}"], ["echo", "7"]),
        (["echo", "x{}y{}"], ["echo", "xa bya b"]),
        (["echo", "{x}", "{1}"], ["echo", "{x}", "{1}", "a b"]),
    ],
)
def test_item_comes_last_if_it_has_no_place(words: list[str], argv: list[str]) -> None:
    assert parse(words).argv("a b", 7) == argv


@given(st.text(st.characters(blacklist_characters="\0")))
def test_the_shell_sees_one_word_whatever_the_item(item: str) -> None:
    import shlex

    shell, _, line = parse(["printf %s {} > {#}.txt"], shell=True).argv(item, 1)
    assert shell == "/bin/sh"
    assert shlex.split(line) == ["printf", "%s", item, ">", "1.txt"]


def test_no_command() -> None:
    for words in ([], [""], [" "]):
        with pytest.raises(ConfigError, match=r"COMMAND is missing.*raddle exec -- sh -c \{\}"):
            parse(words)


# ----------------------------------------------------------------------------------------------------------- items


def test_items_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x y\n\n\xff.jpg\nlast\r")
    (tmp_path / "b").write_bytes(b"p\nq\0r\0\0")
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    items = open_arguments(None, [], [a])
    assert (list(items), items.total) == (["x y", os.fsdecode(b"\xff.jpg"), "last\r"], 3)
    items = open_arguments("::::", [b], [], null=True)
    assert (list(items), items.total) == (["p\nq", "r"], 2)
    items = open_arguments("::::", [b], [a])
    assert items.total == 5
    assert (list(open_arguments(":::", ["", "x"], [])), open_arguments(":::", [], []).total) == (["", "x"], 0)


@pytest.mark.parametrize(
    ("words", "files", "message"),
    [
        (["echo", ":::", "a", ":::", "b"], [], "a second source of items; give one"),
        (["echo", ":::", "a"], ["f"], "a second source of items beside ':::'"),
        (["echo", "::::"], [], "must be followed by a file of items"),
        (["echo"], ["missing"], "-a missing: cannot be read: No such file"),
    ],
)
def test_sources_that_do_not_fit(words: list[str], files: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_arguments(*split(words)[1:], files)


def test_what_resume_goes_by(tmp_path: Path) -> None:
    file = tmp_path / "a b"
    file.write_text("1")
    template = parse(["cat", "{}"])

    def text(identity: str) -> str:
        return str(next(jobs([str(file)], template, identity=identity)))

    before = {identity: text(identity) for identity in ("command", "content", "mtime")}
    assert before["command"] == f"cat '{file}'"
    os.utime(file, (1, 1))
    assert [text(identity) == before[identity] for identity in before] == [True, True, False]
    file.write_text("2")
    assert [text(identity) == before[identity] for identity in before] == [True, False, False]
    assert next(jobs(["no\0file"], template, identity="content")) == next(jobs(["no\0file"], template))


# ----------------------------------------------------------------------------------------------------- the command


def test_output_is_grouped_and_in_input_order(raddle: Callable[..., Done]) -> None:
    script = "echo out {}; echo err {} >&2; sleep 0.0{}; echo out {}"
    done = raddle("-j3", "--", "sh", "-c", script, items=b"9\n5\n1\n")
    assert done.returncode == _exit.OK
    assert done.stdout == b"".join(b"out %d\nout %d\n" % (n, n) for n in (9, 5, 1))
    assert done.stderr == b"err 9\nerr 5\nerr 1\n"
    done = raddle("-j3", "--tag", "printf", "{}\n\nend", ":::", "a", "b")
    assert done.stdout == b"a\ta\na\t\na\tendb\tb\nb\t\nb\tend"


def test_options_of_the_command_are_its_own(raddle: Callable[..., Done]) -> None:
    done = raddle("echo", "--tag", "-j", "--", "{}", "--help", ":::", "x")
    assert done.stdout == b"--tag -j -- x --help\n"


def test_a_failed_job_is_told_with_its_code_and_last_words(raddle: Callable[..., Done]) -> None:
    arguments = ("sh", "-c", "echo out; seq 9 >&2; exit {}", ":::", "0", "3")
    done = raddle("--json", *arguments)
    assert done.returncode == _exit.NOT_ALL_OK
    good, bad = lines(done.stdout)
    assert list(good) == [
        "position", "item", "command", "status", "exit_code", "stdout", "stderr", "error", "attempts", "seconds",
        "worker",
    ]  # fmt: skip
    assert (good["status"], good["exit_code"], good["stdout"], good["error"]) == ("ok", 0, "out\n", None)
    assert (bad["status"], bad["exit_code"], bad["stdout"]) == ("failed", 3, "out\n")
    assert bad["error"]["message"] == "exit code 3: 5\n6\n7\n8\n9"
    done = raddle(*arguments)
    assert done.stdout == b"out\n" * 2
    assert done.stderr.endswith(b"raddle: job 2 failed: exit code 3: sh -c 'echo out; seq 9 >&2; exit 3'\n")
    done = raddle("--json", "--no-values", "sh", "-c", "kill -9 $$", ":::", "0")
    assert (lines(done.stdout)[0]["exit_code"], "stdout" in lines(done.stdout)[0]) == (-9, False)


def test_timeout_kills_the_whole_group(tmp_path: Path, raddle: Callable[..., Done]) -> None:
    script = "echo $$ > {}.pid; sh -c 'echo $$ > {}.child; sleep 600' & wait"
    began = time.monotonic()
    done = raddle("--timeout", "2", "--json", "-j2", "sh", "-c", script, ":::", "a", "b")
    assert time.monotonic() - began < 60
    assert [(each["status"], each["exit_code"]) for each in lines(done.stdout)] == [("timed_out", None)] * 2
    for name in ("a.pid", "a.child", "b.pid", "b.child"):
        assert is_gone(int((tmp_path / name).read_text()))


def is_gone(pid: int) -> bool:
    """Whether a process has ended; somebody else may be slow to collect a zombie."""
    for _ in range(6000):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def test_retry_tries_again(raddle: Callable[..., Done]) -> None:
    script = "test -e {} || { touch {}; exit 1; }"
    done = raddle("--retry", "1", "--json", "sh", "-c", script, ":::", "a")
    assert [(each["status"], each["attempts"]) for each in lines(done.stdout)] == [("ok", 2)]


def test_keys_run_one_at_a_time(raddle: Callable[..., Done]) -> None:
    script = "mkdir {//}.lock && sleep 0.05 && rmdir {//}.lock"
    items = [f"{folder}/{n}" for n in range(4) for folder in "ab"]
    done = raddle("-j4", "--key", "{//}", "--shell", script, ":::", *items)
    assert (done.returncode, done.stderr) == (_exit.OK, b"")


def test_any_file_name(tmp_path: Path, raddle: Callable[..., Done]) -> None:
    names = [b"a b", b"\xff\xfe.txt", b"it's", b'"q"', b"new\nline", b"-n", "ü".encode(), b"$(date)"]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    found = b"".join(name + b"\0" for name in names)
    for how in (("--", "printf", "%s\\0"), ("--shell", "printf '%s\\0' {}")):
        assert raddle("-0", *how, items=found).stdout == found
    assert [os.fsencode(each["item"]) for each in lines(raddle("-0", "--json", "true", items=found).stdout)] == names


def test_dry_run_runs_nothing(tmp_path: Path, raddle: Callable[..., Done]) -> None:
    done = raddle("--dry-run", "touch", "{}", ":::", "a b", "c")
    assert done.stdout == b"touch 'a b'\ntouch c\n"
    assert list(tmp_path.iterdir()) == []


def test_json_lines_go_to_a_file_too(tmp_path: Path, raddle: Callable[..., Done]) -> None:
    done = raddle("-o", "out.jsonl", "echo", ":::", "a")
    assert done.stdout == b"a\n"
    assert lines((tmp_path / "out.jsonl").read_bytes())[0]["stdout"] == "a\n"


def test_metrics_in_a_file(tmp_path: Path, raddle: Callable[..., Done]) -> None:
    done = raddle("--metrics", "x.prom", "--name", "job", "true", ":::", "a", "b")
    assert done.returncode == _exit.OK
    text = (tmp_path / "x.prom").read_text()
    assert 'raddle_items_total{run="job",backend="threads",status="ok"} 2' in text
    assert 'raddle_items_expected{run="job",backend="threads"} 2' in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-program", ":::", "a"], "COMMAND=no-such-program: there is no such program on the PATH"),
        (["./x", ":::", "a"], "COMMAND=./x: is not an executable file"),
        (["gzip -9 {}", ":::", "a"], "one text for the shell needs --shell"),
        (["--id", "name", "true", ":::", "a"], "--id=name: must be one of command, content, mtime"),
        (["--resume", "true", ":::", "a"], "needs journal="),
        (["--retry-failed", "true", ":::", "a"], "needs journal="),
        (["-j", "-1", "true", ":::", "a"], "--workers=-1: must be 0"),
        (["-o", "no/x", "true", ":::", "a"], "--output=no/x: cannot be written: No such file"),
        (["--metrics", ":x", "true", ":::", "a"], "--metrics=:x: must be a file, or a colon and a port"),
        ([], "COMMAND is missing"),
    ],
)
def test_usage_errors(raddle: Callable[..., Done], arguments: list[str], message: str) -> None:
    done = raddle(*arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (_exit.USAGE, b"", 1)
    assert message in done.stderr.decode()


def test_on_error_fail_starts_nothing_more(raddle: Callable[..., Done]) -> None:
    done = raddle("-j1", "--on-error", "fail", "--json", "sh", "-c", "exit {}", ":::", "1", *"0" * 50)
    assert done.returncode == _exit.STOPPED
    assert lines(done.stdout)[0]["status"] == "failed"


def test_resume_gives_the_whole_output_and_runs_what_is_new(tmp_path: Path, raddle: Callable[..., Done]) -> None:
    options = ("--journal", "j.db", "--name", "job", "--resume")
    command = ("--", "sh", "-c", "echo {} | tee -a ran; echo err >&2; test {} != b")
    first = raddle(*options, *command, items=b"a\nb\n")
    assert (first.returncode, first.stdout) == (_exit.NOT_ALL_OK, b"a\nb\n")
    second = raddle(*options, *command, items=b"new\na\nb\na\n")
    assert second.stdout == b"new\na\na\n"  # of a job that failed before, the journal has the last words only
    assert b"job 3 failed: exit code 1: err" in second.stderr
    assert sorted((tmp_path / "ran").read_text().split()) == ["a", "a", "b", "new"]
    again = raddle(*options, "--json", *command, items=b"b\n")
    assert [(each["exit_code"], each["resumed"]) for each in lines(again.stdout)] == [(1, True)]


def test_a_journal_without_what_jobs_print(raddle: Callable[..., Done]) -> None:
    options = ("--journal", "j.db", "--no-values", "--resume")
    assert raddle(*options, "echo", ":::", "a").stdout == b"a\n"
    done = raddle(*options, "echo", ":::", "a")
    assert (done.returncode, done.stdout) == (_exit.OK, b"")


def test_retry_failed_runs_again_what_was_not_ok(tmp_path: Path, raddle: Callable[..., Done]) -> None:
    options = ("--journal", "j.db", "--name", "job")
    command = ("--", "sh", "-c", "echo {} >> ran; test {} != b -o -e good")
    assert raddle(*options, *command, items=b"a\nb\n").returncode == _exit.NOT_ALL_OK
    (tmp_path / "good").touch()
    done = raddle(*options, "--retry-failed", *command, items=b"a\nb\n")
    assert (done.returncode, done.stderr) == (_exit.OK, b"")
    assert sorted((tmp_path / "ran").read_text().split()) == ["a", "b", "b"]


def test_closed_stdout_ends_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raddle", "exec", "-j2", "--", "echo"]
    many = "".join(f"{n}\n" for n in range(100_000)).encode()
    (tmp_path / "many").write_bytes(many)
    with (
        (tmp_path / "many").open("rb") as stdin,
        subprocess.Popen(command, cwd=tmp_path, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.wait(60) == _exit.CLOSED
        assert process.stderr.read() == b""
