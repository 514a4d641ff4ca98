"""`raddle encrypt` as a user meets it: keys, exit codes, what is printed, and that no secret ever is."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("cryptography", reason="the extra `encrypt` is not installed")

from raddle.workloads.encrypt.batch_key import IDENTITY_FILE
from raddle.workloads.encrypt.sketch.values import NOTICE

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from command_parts import argv, key, process, run, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "seven brown owls sing at 7"

needs_pictures = pytest.mark.usefixtures("_pictures")


@pytest.fixture
def _pictures() -> None:
    pytest.importorskip("cv2", reason="the extra `encrypt` is not installed")
    pytest.importorskip("PIL", reason="the extra `encrypt` is not installed")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# ---------------------------------------------------------------------------------------------------------- keys


def test_keygen_prints_the_recipient_and_keeps_the_identity(tmp_path: Path) -> None:
    file, recipient = key(tmp_path)
    text = file.read_text()
    assert recipient.startswith("age1")
    assert f"# public key: {recipient}\n" in text
    assert text.startswith("# created: 20")
    assert file.stat().st_mode & 0o777 == 0o600
    refused = run("keygen", "-o", file, code=2)
    assert "never overwritten" in refused.stderr
    assert file.read_text() == text


def test_recipients_by_option_and_by_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (first, one), (second, two) = key(tmp_path / "a"), key(tmp_path / "b")
    (tmp_path / "to").write_text(f"# friends\n{two}\n{one}\n")
    (tmp_path / "x").write_bytes(b"text")
    run("seal", tmp_path / "x", "-o", tmp_path / "out", "-r", one, "-R", tmp_path / "to")
    for number, file in enumerate((first, second)):
        run("open", tmp_path / "out/x.age", "-o", tmp_path / f"back{number}", "-i", file)
        assert (tmp_path / f"back{number}/x").read_bytes() == b"text"


@pytest.mark.skipif(shutil.which("age") is None, reason="the program age is not installed")
def test_the_age_program_opens_what_the_command_sealed_and_the_other_way_round(tmp_path: Path) -> None:
    file, recipient = key(tmp_path)
    (tmp_path / "x").write_bytes(os.urandom(100_000))
    for number, options in enumerate(([], ["--armor"])):
        run("seal", tmp_path / "x", "-o", tmp_path / f"out{number}", "-r", recipient, *options)
        sealed = tmp_path / f"out{number}/x.age"
        opened = subprocess.run(["age", "-d", "-i", file, sealed], capture_output=True, check=True)
        assert opened.stdout == (tmp_path / "x").read_bytes()
    foreign = tmp_path / "foreign.age"
    subprocess.run(["age", "-a", "-r", recipient, "-o", foreign, tmp_path / "x"], check=True)
    run("open", foreign, "-o", tmp_path / "back", "-i", file)
    assert (tmp_path / "back/foreign").read_bytes() == (tmp_path / "x").read_bytes()


# --------------------------------------------------------------------------------------------------- passphrases


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    return file


@pytest.mark.slow
def test_one_passphrase_for_a_batch(tmp_path: Path, passphrase: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (tmp_path / "in" / name).write_text(name)
    words = ("--recursive", "--passphrase", f"file:{passphrase}")
    sealed = run("seal", f"{tmp_path / 'in'}/.", "-o", tmp_path / "out", *words)
    assert IDENTITY_FILE in sealed.stderr
    assert sorted(tree(tmp_path / "out")) == ["a.age", "b.age", IDENTITY_FILE, "sub/c.age"]
    opened = run("open", f"{tmp_path / 'out'}/.", "-o", tmp_path / "back", *words)
    assert "is left out" in opened.stderr
    assert tree(tmp_path / "back") == tree(tmp_path / "in")
    # a file of a folder below finds the key above it
    run("open", tmp_path / "out/sub/c.age", "-o", tmp_path / "one", "--passphrase", f"file:{passphrase}")
    assert (tmp_path / "one/c").read_text() == "sub/c"

    passphrase.write_text("another one, long enough")
    wrong = run("open", f"{tmp_path / 'out'}/.", "-o", tmp_path / "no", *words, code=1)
    assert "is not the one of" in wrong.stderr
    assert not tree(tmp_path / "no")
    other = run("seal", passphrase, "-o", tmp_path / "out", "--passphrase", f"file:{passphrase}", code=2)
    assert "share one passphrase" in other.stderr


def test_a_file_that_the_passphrase_alone_opens(tmp_path: Path, passphrase: Path) -> None:
    (tmp_path / "x").write_text("text")
    words = ("-p", f"file:{passphrase}")
    run("seal", tmp_path / "x", "-o", tmp_path / "out", *words, "--standalone")
    assert sorted(tree(tmp_path / "out")) == ["x.age"]
    run("open", tmp_path / "out/x.age", "-o", tmp_path / "back", *words)
    assert (tmp_path / "back/x").read_text() == "text"


@pytest.mark.parametrize(
    "way", [pytest.param("file", marks=pytest.mark.slow), pytest.param("fd", marks=pytest.mark.slow), "env"]
)
def test_a_secret_is_nowhere(way: str, tmp_path: Path, passphrase: Path, data: Path) -> None:
    """Not in outputs, messages, the journal and what lies beside it, nor in what a worker's environment shows."""
    source = {"file": f"file:{passphrase}", "fd": "fd:0", "env": "env:RADDLE_TEST_SECRET"}[way]
    options: dict[str, Any] = {"input": f"{SECRET}\n"} if way == "fd" else {"stdin": subprocess.DEVNULL}
    if way == "env":
        options["env"] = os.environ | {"RADDLE_TEST_SECRET": SECRET}
    work = tmp_path / "work"
    words = ["-o", work / "out", "--passphrase", source, "--backend", "processes", "--json", "--progress", "line"]
    words += ["--journal", work / "runs.db"]
    picture = data / "images/good/horse.png"
    broken = data / "images/broken/truncated_jpeg.jpg"
    sealed = process("seal", picture, *words, **options)
    told = [sealed.stdout, sealed.stderr]
    if way == "env":
        sketched = process("sketch", picture, broken, *words, code=1, **options)
        told += [sketched.stdout, sketched.stderr]
        assert (work / "out/horse.png.sketch.age").exists()
    opened = process("open", work / "out", "--recursive", *words[2:], "-o", work / "back", **options)
    told += [opened.stdout, opened.stderr]
    assert (work / "back/out/horse.png").read_bytes() == picture.read_bytes()
    kept = b"".join(tree(work).values())
    assert b"SQLite" in kept
    for needle in (SECRET, SECRET.encode().hex(), "AGE-SECRET-KEY"):
        assert needle.encode() not in kept
        assert needle not in "".join(told)


def test_a_passphrase_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("text")
    for words in (["--passphrase", "hunter2"], ["--passphrase=hunter2"], ["-p", "hunter2"]):
        refused = run("seal", tmp_path / "x", "-o", tmp_path / "out", *words, code=2)
        assert "hunter2" not in refused.output
        assert "fd:NUMBER" in refused.output
    assert not (tmp_path / "out").exists()


def test_passphrase_alone_asks_at_the_terminal(tmp_path: Path) -> None:
    """`--passphrase FILE` asks too: the file is one to seal."""
    file = tmp_path / "x"
    file.write_text("text")
    program, terminal = pty.fork()
    if not program:
        command = argv("seal", "--passphrase", file, "-o", tmp_path / "out", "--standalone")
        os.execv(command[0], command)
    said, answers = b"", [SECRET, "typed wrongly", SECRET, SECRET]
    while select.select([terminal], [], [], 30)[0]:
        try:
            said += os.read(terminal, 4096)
        except OSError:
            break
        if said.endswith(b": ") and answers:
            said += b"?"
            os.write(terminal, f"{answers.pop(0)}\n".encode())
    assert os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]) == 0, said
    assert b"They differ" in said
    assert SECRET.encode() not in said
    assert (tmp_path / "out/x.age").read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt")


def test_an_identity_file_with_a_passphrase(tmp_path: Path, passphrase: Path) -> None:
    words = ("--passphrase", f"file:{passphrase}")
    recipient = run("keygen", "-o", tmp_path / "key", *words).stdout.strip()
    assert "AGE-SECRET" not in (tmp_path / "key").read_text()
    (tmp_path / "x").write_text("text")
    run("seal", tmp_path / "x", "-o", tmp_path / "out", "-r", recipient)
    run("open", tmp_path / "out/x.age", "-o", tmp_path / "back", "-i", tmp_path / "key", *words)
    assert (tmp_path / "back/x").read_text() == "text"


# -------------------------------------------------------------------------------------------------- what is told


def test_a_line_for_each_file(tmp_path: Path) -> None:
    file, recipient = key(tmp_path)
    (tmp_path / "x").write_bytes(b"text")
    odd = os.fsdecode(bytes(tmp_path) + b"/\xff\n")
    Path(odd).write_bytes(b"odd")
    (row, strange) = lines(run("seal", tmp_path / "x", odd, "-o", tmp_path / "out", "-r", recipient, "--json").stdout)
    size = (tmp_path / "out/x.age").stat().st_size
    seconds = row.pop("seconds")
    assert 0 <= seconds < 60
    expected = {"file": f"{tmp_path}/x", "target": f"{tmp_path}/out/x.age", "status": "ok", "bytes": size}
    assert row == expected | {"error": None, "attempts": 1, "plain_bytes": 4}
    assert strange["file"] == odd
    (tmp_path / "bad.age").write_bytes(b"no age file")
    (row,) = lines(run("open", tmp_path / "bad.age", "-o", tmp_path / "back", "-i", file, "--json", code=1).stdout)
    assert (row["status"], row["bytes"]) == ("failed", None)
    assert row["error"]["type"].endswith(".Damaged")
    assert not tree(tmp_path / "back")


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    file, recipient = key(tmp_path)
    for name in "abc":
        (tmp_path / name).write_text(name)
    run("seal", *(tmp_path / name for name in "abc"), "-o", tmp_path / "out", "-r", recipient)
    sealed = tmp_path / "out/b.age"
    sealed.write_bytes(sealed.read_bytes()[:-1])
    done = run("open", tmp_path / "out", "--recursive", "-o", tmp_path / "back", "-i", file, code=1)
    assert "2 files opened" in done.stdout
    assert "b.age: the file is damaged" in done.stderr
    assert tree(tmp_path / "back/out") == {"a": b"a", "c": b"c"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seal", "x", "-o", "out"], "to whom?"),
        (["seal", "x", "-o", "out", "-r", "age1short"], "not an age recipient"),
        (["seal", "x", "-o", "out", "-r", "age1", "-p", "env:NOT_SET"], "leave one of them out"),
        (["seal", "x", "-o", "out", "-p", "env:NOT_SET_ANYWHERE"], "not set"),
        (["seal", "x", "-o", "out", "-r", "age1", "--standalone"], "--passphrase"),
        (["open", "x", "-o", "out"], "with what?"),
        (["open", "x", "-o", "out", "-i", "nothing"], "cannot be read"),
        (["sketch", "x", "-o", "out", "--armor"], "about sealing"),
        (["sketch", "x", "-o", "out", "--size", "12"], "--size=12"),
        (["sketch", "x", "-o", "out", "--thresholds", "200,100"], "low one comes first"),
        (["sketch", "x", "-o", "out", "--coefficients", "1"], "num_coefficients=1"),
        (["sketch", "x", "-o", "out", "--timeout", "-1"], "timeout=-1"),
        (["draw", "x"], "--live"),
        (["draw", "x", "-o", "a.svg", "--live", "page"], "--live"),
        (["draw", "x", "-o", "a.jpg"], "must end in"),
        (["draw", "x", "-o", "a.svg", "--fps", "3"], "--fps: not for .svg"),
        (["draw", "x", "-o", "a.svg"], "not a raddle sketch"),
        (["draw", "nothing", "-o", "a.svg"], "cannot be read"),
    ],
)
@needs_pictures
def test_usage_is_told(words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_text("text")
    refused = run(*words, code=2)
    assert said in refused.stderr
    assert not Path("a.svg").exists()
    if Path("out").exists():
        assert not list(Path("out").iterdir())


def test_the_reader_of_standard_output_goes(tmp_path: Path) -> None:
    _, recipient = key(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(300):
        (tmp_path / "in" / f"{number}").write_text("text")
    words = argv("seal", tmp_path / "in", "--recursive", "-o", tmp_path / "out", "-r", recipient, "--json")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait() == 141


@pytest.mark.parametrize(
    ("number", "code", "backend"),
    [
        (signal.SIGINT, 130, "threads"),
        pytest.param(signal.SIGTERM, 143, "threads", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, "processes", marks=pytest.mark.slow),
        (signal.SIGTERM, 143, "processes"),
    ],
)
def test_signals_end_a_batch_cleanly_and_resume_goes_on(
    number: signal.Signals, code: int, backend: str, tmp_path: Path
) -> None:
    file, recipient = key(tmp_path)
    (tmp_path / "in").mkdir()
    for each in range(200):
        (tmp_path / "in" / f"{each:03}").write_bytes(os.urandom(1000))
    words = ["seal", f"{tmp_path / 'in'}/.", "--recursive", "-o", tmp_path / "out", "-r", recipient, "--json"]
    words += ["--journal", tmp_path / "runs.db", "--resume", "--backend", backend]
    program = subprocess.Popen(argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    program.stdout.readline()  # it is under way
    program.send_signal(number)
    _, said = program.communicate(timeout=120)
    if program.returncode:  # or it was faster
        assert program.returncode == code, said
        assert "--resume" in said
        assert "Traceback" not in said
    process(*words)
    process("open", f"{tmp_path / 'out'}/.", "--recursive", "-o", tmp_path / "back", "-i", file)
    assert tree(tmp_path / "back") == tree(tmp_path / "in")


# ------------------------------------------------------------------------------------------------------ pictures


@needs_pictures
def test_sketches_are_told_with_their_error_and_what_they_are_not(tmp_path: Path, data: Path) -> None:
    good = data / "images/good"
    words = ("sketch", good / "horse.png", good / "rocket.jpg", "--workers", "1")
    done = run(*words, "-o", tmp_path / "a")
    assert NOTICE in done.stdout
    assert "RMSE" in done.stdout
    assert "2 files sketched" in done.stdout
    run(*words, "-o", tmp_path / "b", "--backend", "serial")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    less = ("--coefficients", "500", "--size", "200x200", "--smoothing", "1", "--thresholds", "50,150", "--json")
    rows = lines(run(*words, "-o", tmp_path / "c", *less).stdout)
    assert [row["notice"] for row in rows] == [NOTICE] * 2
    assert all(row["coefficients"] <= 500 and row["width"] <= 200 and row["rmse"] >= 0 for row in rows)
    assert all(len(tree(tmp_path / "c")[name]) < len(whole) for name, whole in tree(tmp_path / "a").items())


@needs_pictures
def test_a_sealed_sketch_is_drawn_in_every_way(tmp_path: Path, data: Path) -> None:
    file, recipient = key(tmp_path)
    run("sketch", data / "images/good/horse.png", "-o", tmp_path, "-r", recipient, "--coefficients", "60", "--armor")
    sealed = tmp_path / "horse.png.sketch.age"
    assert sealed.read_bytes().startswith(b"-----BEGIN AGE")
    begins = {".svg": b"<svg", ".png": b"\x89PNG", ".html": b"<!doctype", ".gif": b"GIF89a", ".apng": b"\x89PNG"}
    film = ("--seconds", "0.2", "--fps", "5", "--hold", "0", "--size", "64")
    for suffix, begin in begins.items():
        out = tmp_path / f"horse{suffix}"
        run("draw", sealed, "-o", out, "-i", file, *(film if suffix in {".gif", ".apng"} else ()))
        assert out.read_bytes().startswith(begin)
        assert NOTICE.encode()[:20] in out.read_bytes()
    run("draw", sealed, "-o", tmp_path / "horse.mp4", "-i", file, *film, "--theme", "light", "--pens", "all")
    assert b"ftyp" in (tmp_path / "horse.mp4").read_bytes()[:16]
    assert "exists" in run("draw", sealed, "-o", tmp_path / "horse.svg", "-i", file, code=2).stderr
    assert "with what?" in run("draw", sealed, "-o", tmp_path / "other.svg", code=2).stderr


@needs_pictures
def test_a_live_page(tmp_path: Path, data: Path) -> None:
    run("sketch", data / "images/good/horse.png", "-o", tmp_path, "--coefficients", "60")
    sketch = tmp_path / "horse.png.sketch"
    words = ("draw", sketch, "--live", "page", "--no-browser", "--seconds", "0.2", "--fps", "10")
    assert run(*words, "--once").stdout.startswith("http://127.0.0.1:")
    for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, 143)):
        with subprocess.Popen(argv(*words), stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            assert program.stdout.readline().startswith("http://127.0.0.1:")
            assert "Ctrl-C" in program.stdout.readline()
            program.send_signal(number)
            assert program.wait(timeout=60) == code


@needs_pictures
def test_all_broken_pictures_are_one_batch(tmp_path: Path, data: Path) -> None:
    """One outcome each, within seconds and little memory; what is good beside them is sketched."""
    broken = sorted((data / "images/broken").iterdir())
    folder = tmp_path / "in"
    folder.mkdir()
    for picture in broken:
        (folder / picture.name).symlink_to(picture)
    hostile = {
        "empty.png": b"",
        "text.jpg": b"not a picture\n" * 100,
        "zeros.gif": bytes(10_000),
        "half.png": broken[0].read_bytes()[:100],
    }
    for name, content in hostile.items():
        (folder / name).write_bytes(content)
    files = [*sorted(folder.iterdir()), data / "images/good/horse.png"]
    words = ["sketch", *files, "-o", tmp_path / "out", "--timeout", "10", "--workers", "2", "--json"]
    with peak() as most:
        done = process(*words, "--journal", tmp_path / "runs.db", code=1)
    rows = {Path(row["file"]).name: row for row in lines(done.stdout)}
    assert len(rows) == len(files)
    assert rows["horse.png"]["status"] == "ok"
    assert all(row["seconds"] < 40 for row in rows.values())
    for row in rows.values():
        assert row["status"] in {"ok", "failed"}
        assert (row["status"] == "ok") == Path(row["target"]).exists()
        assert row["status"] == "ok" or row["error"]["message"]
    assert sum(row["status"] == "failed" for row in rows.values()) >= 12
    assert sorted(tree(tmp_path / "out")) == sorted(
        f"{name}.sketch" for name, row in rows.items() if row["status"] == "ok"
    )
    assert max(most) < 500e6


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most memory that one process below this one has had, looked at now and then."""
    most, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            most.append(max(_resident(os.getpid()), default=0))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield most
    over.set()
    thread.join()


def _resident(parent: int) -> Iterator[int]:
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if int(fields["PPid"]) == parent and "VmHWM" in fields:
            yield int(fields["VmHWM"].split()[0]) * 1024
            yield from _resident(int(fields["Pid"]))


@needs_pictures
def test_a_picture_that_takes_too_long_is_ended(tmp_path: Path, data: Path) -> None:
    """Denoising goes on for seconds within one native call, which only the end of its process stops."""
    words = ("sketch", data / "images/good/Sway_Wallpaper_Blue_2048x1536.png", data / "images/good/horse.png")
    began = time.monotonic()
    rows = lines(run(*words, "-o", tmp_path / "out", "--denoise", "1", "--timeout", "0.8", "--json", code=1).stdout)
    assert time.monotonic() - began < 100
    assert rows[0]["status"] == "timed_out"
    assert not (tmp_path / "out" / f"{Path(str(words[1])).name}.sketch").exists()
    assert not list((tmp_path / "out").glob(".*"))
