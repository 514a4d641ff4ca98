"""What all commands share: help with examples, shell completion, closed pipes, journals that cannot be read."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer

import raddle
from raddle.cli import main
from raddle.cli.main import app, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RADDLE = [sys.executable, "-m", "raddle"]


def commands(command: Any, path: tuple[str, ...] = ("raddle",)) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "list_commands"):
        yield " ".join(path), command
        return
    context = command.make_context(path[-1], ["--help"], resilient_parsing=True)
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name), (*path, name))


# ----------------------------------------------------------------------------------------------------------- help


def test_every_command_has_an_example() -> None:
    found = dict(commands(typer.main.get_command(app)))
    assert {"raddle map", "raddle runs watch", "raddle runs compare", "raddle weights run"} <= set(found)
    without = [path for path, command in found.items() if "\nExample" not in (command.epilog or "")]
    assert not without
    # It shows the command itself, and no other.
    assert not [path for path, command in found.items() if path not in (command.epilog or "").replace("\n  ", " ")]


def test_only_the_program_itself_installs_completion() -> None:
    assert {"--install-completion", "--show-completion"} <= _options(typer.main.get_command(app))
    for path, command in commands(typer.main.get_command(app)):
        assert not _options(command) & {"--install-completion", "--show-completion"}, path
    for entry in workloads().values():
        assert "--install-completion" not in _options(typer.main.get_command(entry.load().cli())), entry.name


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("columns", [30, 60, 200])
def test_help_on_any_width(columns: int) -> None:
    done = _run(["runs", "watch", "--help"], COLUMNS=str(columns))
    assert done.returncode == 0
    assert "raddle runs watch thumbs --journal runs.db" in done.stdout  # examples are not folded
    assert "\x1b" not in done.stdout


# ----------------------------------------------------------------------------------------------------- completion


def _run(arguments: list[str], folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RADDLE, *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "RADDLE_JOURNAL"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def complete(line: str, folder: Path | None = None) -> list[str]:
    """Ask as the shell's function does; the cursor is at the end of the line."""
    words = line.split(" ")
    done = _run([], folder, COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), _RADDLE_COMPLETE="complete_bash")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("thumbs", "thumbs-2", "other", "with a space"):
        list(raddle.run(abs, range(3), backend="serial", journal=tmp_path / "raddle.db", name=name))
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("raddle m", ["map", "media"]),
        ("raddle w", ["weights"]),
        ("raddle weights s", ["sample"]),
        ("raddle --ver", ["--version"]),
        ("raddle map --retry", ["--retry", "--retry-failed"]),
        ("raddle runs wat", ["watch"]),
        ("raddle runs show ", ["other", "thumbs-2", "thumbs"]),
        ("raddle runs watch th", ["thumbs-2", "thumbs"]),
        ("raddle runs compare thumbs ot", ["other"]),
        ("raddle runs show --journal nothing.db ", []),
        ("raddle runs show --journal broken.db th", []),
        ("raddle nothing ", []),
    ],
)
def test_completion(folder: Path, line: str, offered: list[str]) -> None:
    (folder / "broken.db").write_text("this is no journal\n" * 100)
    found = complete(line, folder)
    assert [word for word in found if word in offered] == offered
    assert set(found) == set(offered) or not line.startswith("raddle runs")


def test_completing_a_name_imports_no_workload() -> None:
    program = """
import sys
from raddle.cli import main
code = main([])
packages = ["raddle.workloads." + name for name in ("classify", "encrypt", "media", "weights")]
print(code, [name for name in packages if name + ".cli" in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"COMP_WORDS": "raddle ", "COMP_CWORD": "1", "_RADDLE_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert {"map", "weights", "media"} <= set(done.stdout.split())
    assert done.stderr == "0 []\n"


def test_completion_in_bash_itself(folder: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    shown = _run(["--show-completion", "bash"], _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert shown.returncode == 0
    script = f"""{shown.stdout}
COMP_WORDS=(raddle runs show th) COMP_CWORD=3
_raddle_completion raddle raddle show
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    (folder / "raddle").write_text(f'#!/bin/sh\nexec {sys.executable} -m raddle "$@"\n')
    (folder / "raddle").chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout.split(), done.stderr) == (["thumbs-2", "thumbs"], "")


def test_completion_is_installed(tmp_path: Path) -> None:
    done = _run(["--install-completion", "bash"], HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0, done.stderr
    assert "complete -o default -F _raddle_completion raddle" in (tmp_path / ".bash_completions/raddle.sh").read_text()


def test_completion_of_a_workload_that_is_not_all_there(tmp_path: Path) -> None:
    info = tmp_path / "gone-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gone\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[raddle.workloads]\ngone = gone_for_good:workload\n")
    there = {"PYTHONPATH": str(tmp_path)}
    told = _run(["gone"], **there)
    assert (told.returncode, told.stderr) == (
        2,
        "raddle: workload='gone': gone needs 'gone_for_good': pip install it\n",
    )
    listed = _run(["--help"], **there)
    assert listed.returncode == 0
    assert "cannot be imported: ModuleNotFoundError" in " ".join(listed.stdout.split())
    for line, offered in (("raddle go", "gone\n"), ("raddle gone ", "")):
        place = str(line.count(" "))
        done = _run([], COMP_WORDS=line, COMP_CWORD=place, _RADDLE_COMPLETE="complete_bash", **there)
        assert (done.returncode, done.stdout, done.stderr) == (0, offered, "")


# ------------------------------------------------------------------------------------------- pipes and bad journals


@pytest.mark.parametrize(
    "command",
    [
        "runs list",
        "runs list --json",
        "runs show --json",
        "runs failures --json",
        "runs export",
        "runs compare thumbs other",
        "runs watch",
        "runs watch --once",
        "doctor",
    ],
)
def test_nobody_reads_any_more(folder: Path, command: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    if command == "runs failures --json":
        list(raddle.run(int, ["x"], backend="serial", journal=folder / "raddle.db", name="bad", retry=0))
    try:
        done = subprocess.run(
            [*RADDLE, *command.split()],
            cwd=folder,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env={key: value for key, value in os.environ.items() if key != "RADDLE_JOURNAL"},
            check=False,
            timeout=120,
        )
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    "command", [["list"], ["show"], ["watch"], ["watch", "--once"], ["compare", "other", "thumbs"]]
)
def test_a_journal_that_cannot_be_read(folder: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder / "raddle.db")
    assert main(["runs", *command, "--journal", str(folder / "absent.db")]) == 2
    assert "no such file; name the journal" in capsys.readouterr().err
    with sqlite3.connect(path) as conn:
        conn.execute("PRAGMA user_version = 99")
    conn.close()
    assert main(["runs", *command, "--journal", path]) == 2
    assert "written by a newer raddle" in capsys.readouterr().err


def test_a_journal_that_somebody_else_holds(folder: Path) -> None:
    conn = sqlite3.connect(folder / "raddle.db", isolation_level=None)
    try:
        conn.execute("BEGIN EXCLUSIVE")  # a reader of a log does not have to wait for a writer
        assert main(["runs", "watch", "thumbs", "--journal", str(folder / "raddle.db")]) == 0
    finally:
        conn.close()


def test_a_table_on_a_narrow_terminal(folder: Path) -> None:
    import pty

    for columns, last in ((200, "backend"), (50, "of")):
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [*RADDLE, "runs", "list"],
            cwd=folder,
            stdout=theirs,
            env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm"},
        )
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # how Linux tells that the other side is closed
            pass
        os.close(ours)
        assert child.wait(60) == 0
        lines = shown.decode().splitlines()
        assert lines[0].split()[-1] == last
        assert max(map(len, lines)) <= columns


def test_the_command_of_a_workload_is_in_its_journal(folder: Path) -> None:
    pytest.importorskip("cryptography", reason="needs raddle[encrypt]")
    (folder / "secret.txt").write_text("secret")
    words = [
        "encrypt",
        "seal",
        "secret.txt",
        "-o",
        "sealed",
        "-p",
        "env:WORDS",
        "--journal",
        "seal.db",
        "--name",
        "seal",
    ]
    done = _run(words, folder, WORDS="a few random words")
    assert done.returncode == 0, done.stderr
    told = _run(["runs", "show", "seal", "--journal", "seal.db", "--json"], folder)
    command = json.loads(json.loads(told.stdout)["command"])
    assert command == {"argv": words, "cwd": str(folder), "stdin": False}
