"""The worked plug-in of examples/ is a package like anybody's: it is built, installed beside raddle, and used."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raddle

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "examples" / "plugin"
PAGE = ROOT / "docs" / "how-to" / "write-a-plug-in.md"

sys.path.insert(0, str(PLUGIN / "src"))
from raddle_checksums.work import line_for, read_lines, same_file  # noqa: E402 - it is installed only below

Raddle = Any


def entry_points_by_hand(into: Path) -> None:
    """Do what an installer does, where there is none: copy the package, and say which entry points it has."""
    shutil.copytree(PLUGIN / "src", into, dirs_exist_ok=True)
    declared = (PLUGIN / "pyproject.toml").read_text(encoding="utf-8")
    group, line = re.search(r'\[project\.entry-points\."(.*)"\]\n(.*)', declared).groups()  # type: ignore[union-attr]
    about = into / "raddle_checksums-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: raddle-checksums\nVersion: 0.1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the plug-in: built and installed by uv, which needs no network for this."""
    target = tmp_path_factory.mktemp("installed")
    uv = next((str(file) for file in (ROOT / ".venv/bin/uv", shutil.which("uv") or "") if Path(file).is_file()), None)
    if uv is None:
        entry_points_by_hand(target)
        return target
    source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("source") / "plugin")
    command = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation", "--no-cache"]
    subprocess.run(
        [*command, "--python", sys.executable, "--target", str(target), str(source)], check=True, timeout=120
    )
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `raddle ARGUMENTS` in a folder with a small tree, beside the installed plug-in."""
    for name, text in {"tree/a": "a", "tree/sub/b": "b", "tree/n\\ew\nline": "c", "tree/ö": "d"}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (tmp_path / "tree/link").symlink_to("a")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-W", "error", "-m", "raddle", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120)

    return run


def test_by_hand_is_as_installed(installed: Path, tmp_path: Path) -> None:
    entry_points_by_hand(tmp_path)
    name = "raddle_checksums-0.1.0.dist-info/entry_points.txt"
    assert (tmp_path / name).read_text().split() == (installed / name).read_text().split()


def test_raddle_knows_the_command(run: Raddle) -> None:
    listed = " ".join(run("--help").stdout.split())
    assert "checksums SHA-256 of all files of a folder, in parallel, with resume" in listed
    assert {"make", "verify"} <= set(run("checksums", "--help").stdout.split())


def test_it_writes_what_sha256sum_reads(run: Raddle, tmp_path: Path) -> None:
    made = run("checksums", "make", "tree", "-o", "sums")
    assert made.returncode == 0, made.stderr
    with (tmp_path / "sums").open(encoding="utf-8", newline="\n") as lines:
        found = dict(read_lines(lines))
    expected = [Path("tree/a"), Path("tree/n\\ew\nline"), Path("tree/sub/b"), Path("tree/ö")]
    assert list(found) == expected
    assert all(found[path] == hashlib.sha256((tmp_path / path).read_bytes()).hexdigest() for path in expected)
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--status", "sums"], cwd=tmp_path, check=True)


def test_resume_reads_only_what_is_new_or_changed(run: Raddle, tmp_path: Path) -> None:
    command = ("checksums", "make", "tree", "-o", "sums", "--journal", "tree/sums.db")
    assert run(*command).stdout == "4 checksums in sums\n"
    (tmp_path / "tree/a").write_text("another", encoding="utf-8")
    (tmp_path / "tree/new").write_text("new", encoding="utf-8")
    again = run(*command, "--resume")
    assert again.stdout == "5 checksums in sums, 3 of them known before\n", again.stderr
    assert run("checksums", "verify", "sums").stdout == "5 of 5 as they were\n"


def test_verify_names_what_changed_and_what_is_gone(run: Raddle, tmp_path: Path) -> None:
    run("checksums", "make", "tree", "-o", "sums")
    (tmp_path / "tree/a").write_text("other", encoding="utf-8")
    (tmp_path / "tree/sub/b").unlink()
    verified = run("checksums", "verify", "sums")
    assert verified.returncode == 1
    assert "tree/a: changed" in verified.stderr
    assert "tree/sub/b: failed: FileNotFoundError" in verified.stderr
    assert verified.stdout == "2 of 4 as they were\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "tree/a"), "not a line of sha256sum"),
        (("make", "tree", "-o", "sums", "--resume"), "needs journal="),
        (("make", "nowhere", "-o", "sums"), "does not exist"),
        (("make", "tree"), "--output"),
    ],
)
def test_what_cannot_work_ends_with_2_and_says_why(run: Raddle, arguments: tuple[str, ...], said: str) -> None:
    ended = run("checksums", *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1)


@given(st.lists(NAMES.filter(lambda name: name not in {".", ".."}).map(Path), unique=True))
def test_any_name_comes_back(paths: list[Path]) -> None:
    lines = [line_for("0" * 64, path) for path in paths]
    assert all(line.count("\n") == 1 for line in lines)
    assert [path for path, _ in read_lines(lines)] == paths


def test_a_file_that_is_gone_has_an_id_nevertheless(tmp_path: Path) -> None:
    assert same_file(tmp_path / "gone") == str(tmp_path / "gone")


def test_it_uses_public_names_only() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in PLUGIN.rglob("*.py"))
    assert set(re.findall(r"^\s*(?:from|import) (raddle\.\S+)", text, re.MULTILINE)) == {
        "raddle.plugin",
        "raddle.plugin.command_line",
    }
    used = set(re.findall(r"\braddle\.(\w+)", re.sub(r"`[^`]*`|\"[^\"]*\"|from raddle\.plugin", "", text)))
    assert used <= set(raddle.__all__)
    assert used >= {"run", "ConfigError", "Summary"}


def test_the_how_to_shows_exactly_these_files() -> None:
    shown = dict(
        re.findall(r'^```\w+ title="(.*?)"\n(.*?)^```', PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    files = {str(file.relative_to(PLUGIN)): file for file in (*PLUGIN.rglob("*.py"), PLUGIN / "pyproject.toml")}
    assert shown == {name: file.read_text(encoding="utf-8") for name, file in files.items()}
