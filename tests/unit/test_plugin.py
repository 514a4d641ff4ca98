"""The kit of workloads: packages, settings, and how their commands end."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

import raddle
from raddle.plugin import Workload, exports, granted_cpus, needed
from raddle.plugin.command_line import (
    CLOSED,
    RESUME,
    USAGE,
    Backend,
    Interrupted,
    Journal,
    OnError,
    OnErrorOption,
    Progress,
    Resume,
    Workers,
    application,
    ending,
    example,
    flatten,
    option,
    view,
)
from raddle.plugin.settings import checked, load_toml, no_such, number, shaped, table_of

if TYPE_CHECKING:
    from collections.abc import Callable

# ------------------------------------------------------------------------------------------------------- packages


def test_a_workload_imports_its_application_when_it_is_asked_for() -> None:
    workload = Workload("files", "What it does", app="raddle.workloads.weights.cli:app")
    assert isinstance(workload.cli(), typer.Typer)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        Workload("files", "What it does", app="no_such_package.cli:app").cli()


PACKAGE = {
    "__init__.py": "from raddle.plugin import exports\n"
    "__all__ = ['Deep', 'double']\n"
    "__getattr__, __dir__ = exports(__name__, {'work': ['double'], 'below.it': ['Deep']})\n",
    "work.py": "print('work is imported')\ndef double(number):\n    return 2 * number\n",
    "below/__init__.py": "",
    "below/it.py": "class Deep: ...\n",
}
USE = """
import lazily
print(sorted({'Deep', 'double'} - set(dir(lazily))), 'double' in vars(lazily))
print(lazily.double(3), lazily.double(4), 'double' in vars(lazily))
from lazily import Deep
print(Deep.__module__)
try:
    lazily.treble
except AttributeError as error:
    print(error)
"""


def test_a_package_imports_what_it_exports_when_it_is_asked_for_and_once(tmp_path: Path) -> None:
    for name, text in PACKAGE.items():
        file = tmp_path / "lazily" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    done = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[] False",
        "work is imported",
        "6 8 True",
        "lazily.below.it",
        "module 'lazily' has no attribute 'treble'",
    ]


def test_exports_are_listed_beside_what_is_there() -> None:
    _, listed = exports("raddle.plugin", {"settings": ["number"]})
    assert {"number", "Workload"} <= set(listed())


def test_a_library_that_is_missing_is_called_by_its_own_name() -> None:
    needed("media", "json", ("typer", "Typer"))
    with pytest.raises(raddle.MissingExtra, match=r"^PyAV is not installed: pip install 'raddle\[media\]'$"):
        needed("media", "json", ("av", "PyAV"), find=lambda module: None if module == "av" else module)


def test_cpus_are_those_that_are_granted() -> None:
    program = "from raddle.plugin import granted_cpus; print(granted_cpus())"
    env = {**os.environ, "PYTHON_CPU_COUNT": "1"}
    assert subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True).stdout == b"1\n"
    assert 1 <= granted_cpus() <= len(os.sched_getaffinity(0))


# ------------------------------------------------------------------------------------------------------- settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    url: str
    weight: float | None = number(0, 1, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    mode: Literal["fast", "safe"] = "safe"
    many: int | None = number(1, default=None)
    folder: Path | None = None
    ports: tuple[int, ...] = (80,)
    places: tuple[Place, ...] = ()
    deep: bool = False

    def __post_init__(self) -> None:
        if self.deep and self.folder is None:
            raise raddle.ConfigError("deep=True: needs folder=")


def test_a_table_becomes_a_value() -> None:
    table = {
        "mode": "fast",
        "many": 3,
        "folder": "here",
        "ports": [1, 2],
        "places": [{"url": "a"}, {"url": "b", "weight": 1}],
    }
    expected = Settings(
        mode="fast", many=3, folder=Path("here"), ports=(1, 2), places=(Place(url="a"), Place(url="b", weight=1.0))
    )
    found = shaped(table, Settings)
    assert found == expected
    assert isinstance(found.places[1].weight, float)
    assert shaped({}, Settings) == Settings()


def test_values_of_options_are_taken_as_they_are() -> None:
    found = shaped({"places": (Place(url="a"), {"url": "b"}), "folder": Path("here")}, Settings)
    assert (found.places, found.folder) == ((Place(url="a"), Place(url="b")), Path("here"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    mode: Literal["auto", "live"] = "auto"


def test_a_member_of_an_enum_becomes_the_text_that_it_equals() -> None:
    assert type(shaped({"mode": Progress.LIVE}, Modes).mode) is str


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"mod": "fast"}, "f.toml: x.mod='fast': there is no 'mod' among 'mode', "),
        ({"mod": "fast"}, "; did you mean 'mode'?"),
        ({"mode": "fats"}, "x.mode='fats': there is no 'fats' among 'fast', 'safe'; did you mean 'fast'?"),
        ({"many": 0}, "x.many=0: must be at least 1"),
        ({"many": 1.0}, "x.many=1.0: must be a whole number"),
        ({"many": True}, "x.many=True: must be a whole number"),
        ({"folder": 3}, "x.folder=3: must be a path in quotes"),
        ({"ports": 80}, "x.ports=80: must be a list"),
        ({"ports": [80, "x"]}, "x.ports=[80, 'x']: must be a whole number"),
        ({"places": 3}, "x.places=3: must be a list of tables, [[x.places]]"),
        ({"places": [3]}, "x.places[0]=3: must be a table, [x.places[0]]"),
        ({"places": [{"url": "a"}, {}]}, "f.toml: x.places[1].url is missing: look it up"),
        ({"places": [{"url": "a", "weight": 2}]}, "x.places[0].weight=2: must be from 0 to 1"),
        ({"places": [{"url": "a", "weight": float("nan")}]}, "weight=nan: must be a finite number"),
        ({"deep": True}, "f.toml: deep=True: needs folder="),
        ({"deep": 1}, "x.deep=1: must be true or false"),
    ],
)
def test_what_cannot_be_is_named_with_the_remedy(table: dict[str, Any], said: str) -> None:
    with pytest.raises(raddle.ConfigError) as caught:
        shaped(table, Settings, where="f.toml", at="x.", missing="look it up")
    assert said in str(caught.value)


@pytest.mark.parametrize("table", [{"mode": "sk-1"}, {"many": "sk-1"}, {"places": [{"url": 3, "key": "sk-1"}]}])
def test_a_secret_is_not_repeated(table: dict[str, Any]) -> None:
    with pytest.raises(raddle.ConfigError) as caught:
        shaped(table, Settings, secret=True)
    assert "sk-1" not in str(caught.value)


def test_a_flag_is_checked_as_in_the_file() -> None:
    assert checked("here", Settings, "folder", called="--folder") == Path("here")
    with pytest.raises(raddle.ConfigError, match=r"^--many=0: must be at least 1$"):
        checked(0, Settings, "many", called="--many")


def test_tables_that_others_share(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text("\ufeff[mine]\nmany = 3\n[other]\nx = 1\n", encoding="utf-8")
    tables = load_toml(path)
    assert (table_of(tables, "mine", where="f"), table_of(tables, "none", where="f")) == ({"many": 3}, {})
    with pytest.raises(raddle.ConfigError, match=r"^f: mine=3: must be a table, \[mine\]$"):
        table_of({"mine": 3}, "mine", where="f")


@pytest.mark.parametrize(
    ("data", "said"), [(b"[x", "is not TOML"), (b"a = '\xff'", "is not TOML"), (None, "cannot be")]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, data: bytes | None, said: str) -> None:
    path = tmp_path / "f.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(raddle.ConfigError, match=f"f.toml {said}"):
        load_toml(path)


def test_nothing_alike_is_not_suggested() -> None:
    assert no_such("zebra", ("mode", "many")) == "there is no 'zebra' among 'mode', 'many'"


# --------------------------------------------------------------------------------------------------- command line


def invoked(work: Callable[[], Any], *words: str) -> Any:
    app = application("Does it.")

    @app.command(epilog=example("it now"))
    def it() -> None:
        with ending("raddle it", again=RESUME):
            work()
        typer.echo("done")

    return CliRunner().invoke(app, list(words))


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        (lambda: None, 0, ""),
        (raising(raddle.ConfigError("many=0: give more")), USAGE, "raddle it: many=0: give more\n"),
        (raising(OSError(28, "No space left on device")), USAGE, "raddle it: [Errno 28] No space left on device\n"),
        (raising(BrokenPipeError()), CLOSED, ""),
        (raising(KeyboardInterrupt()), 130, f"raddle it: interrupted; {RESUME}\n"),
        (lambda: signal.raise_signal(signal.SIGINT), 130, f"raddle it: interrupted; {RESUME}\n"),
        (lambda: signal.raise_signal(signal.SIGTERM), 143, f"raddle it: interrupted; {RESUME}\n"),
        (raising(Interrupted(signal.SIGTERM)), 143, f"raddle it: interrupted; {RESUME}\n"),
        (raising(typer.Exit(7)), 7, ""),
    ],
)
def test_how_a_command_ends(work: Callable[[], Any], code: int, said: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    result = invoked(work)
    assert (result.exit_code, result.stderr) == (code, said)
    assert result.stdout == ("" if code else "done\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_defect_keeps_its_traceback() -> None:
    assert isinstance(invoked(raising(ZeroDivisionError())).exception, ZeroDivisionError)


def test_without_a_way_to_go_on_none_is_told() -> None:
    with pytest.raises(typer.Exit), ending("raddle it"):
        signal.raise_signal(signal.SIGTERM)


READER_GONE = """
from raddle.plugin.command_line import application, ending
import typer
app = application("Writes.")
@app.command()
def it():
    with ending("raddle it"):
        while True:
            typer.echo("line " * 1000)
app()
"""


def test_a_reader_that_goes_away_ends_it_as_any_program() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READER_GONE], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        assert (program.stderr.read(), program.wait()) == (b"", CLOSED)


@pytest.mark.parametrize("words", [["-h"], ["--help"]])
def test_help_shows_an_example(words: list[str]) -> None:
    text = invoked(lambda: None, *words).stdout
    assert "Example:\n    it now\n" in text


def test_options_are_said_once_for_all() -> None:
    app = application("Does it.")
    taken: list[Any] = []

    @app.command()
    def it(
        workers: Workers = 0,
        journal: Journal = None,
        resume: Resume = False,
        on_error: OnErrorOption = OnError.SKIP,
        backend: Annotated[Backend, option("--on", text="Where.")] = Backend.AUTO,
    ) -> None:
        taken.extend((workers, journal, resume, on_error.value, backend.value))

    words = "--workers 2 --journal a.db --resume --on-error fail --on threads"
    assert CliRunner().invoke(app, words.split()).exit_code == 0
    assert taken == [2, Path("a.db"), True, "fail", "threads"]
    assert "[default" not in CliRunner().invoke(app, ["--help"]).stdout.partition("--on ")[2].partition("\n")[0]
    assert CliRunner().invoke(app, ["--workers", "-1"]).exit_code == USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    source: Annotated[Path, typer.Argument(metavar="SOURCE")]
    journal: Journal = None
    resume: Resume = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WhereElse(Where):
    resume: Annotated[bool, option("--resume/--anew", text="Another way.")] = True


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "b"], ("a", 0, Where(source=Path("b")))),
        (
            ["a", "b", "--journal", "j", "--resume", "--workers", "3"],
            ("a", 3, Where(source=Path("b"), journal=Path("j"), resume=True)),
        ),
    ],
)
def test_a_dataclass_stands_for_its_fields(words: list[str], expected: Any) -> None:
    app = application("Does it.")
    taken: list[Any] = []

    @app.command()
    @flatten
    def it(first: str, where: Where, *, workers: Workers = 0) -> None:
        """Say it in a few words."""
        taken.append((first, workers, where))

    assert CliRunner().invoke(app, words).exit_code == 0
    assert taken == [expected]
    assert CliRunner().invoke(app, ["a"]).exit_code == USAGE
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert shown.lower().index("first") < shown.lower().index("source")
    assert "Say it in a few words." in shown
    assert shown.index("--journal") < shown.index("--resume") < shown.index("--workers")


def test_a_field_may_be_said_in_another_way_by_a_subclass() -> None:
    app = application("Does it.")
    taken: list[WhereElse] = []

    @app.command()
    @flatten
    def it(where: WhereElse) -> None:
        taken.append(where)

    assert [CliRunner().invoke(app, ["a", *more]).exit_code for more in ([], ["--anew"])] == [0, 0]
    assert [where.resume for where in taken] == [True, False]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("progress", "on_a_terminal", "elsewhere"),
    [("auto", "live", "line"), ("live", "live", "live"), ("line", "line", "line"), ("none", None, None)],
)
def test_what_progress_means(progress: str, on_a_terminal: str | None, elsewhere: str | None) -> None:
    with contextlib.redirect_stderr(Terminal()):
        assert view(Progress(progress)) == on_a_terminal
    with contextlib.redirect_stderr(io.StringIO()):
        assert view(Progress(progress)) == elsewhere
        assert view(Progress.AUTO, elsewhere=None) is None
