"""The options of a run from file, environment and flags: parsed once, into one frozen typed value.

A flag beats the environment, the environment beats the file. The file is `raddle.toml`, or else the table
`[tool.raddle]` of `pyproject.toml`, in the folder where the command is started.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from raddle._host import parse_bytes
from raddle._policy.rate import Rate
from raddle._policy.retry import Retry
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from raddle._model import OnError, OnInterrupted

__all__ = ["BACKENDS", "PROGRESS", "RunConfig", "load", "validate", "validate_permits"]

BACKENDS = ("auto", "serial", "threads", "processes", "asyncio")
PROGRESS = ("auto", "live", "line", "jsonl", "logging", "none")
_ON_ERROR = ("skip", "fail")
_ON_INTERRUPTED = ("run", "fail")
_PREFIX = "RADDLE_"
_EXAMPLE = "permits={'encode': 2}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Options of a run, each checked. Seconds are floats; None means that the option is not set."""

    backend: str = "auto"
    #: 0: all granted CPUs
    workers: int = 0
    #: seconds for one attempt
    timeout: float | None = None
    #: further tries after the first
    retry: int | None = None
    on_error: OnError = "skip"
    #: items that were under way when the program died: run again, or given up
    on_interrupted: OnInterrupted = "run"
    ordered: bool = True
    #: most items between the source and the consumer
    window: int | None = None
    #: "auto": all that is granted; a size such as "4GiB"; "none": nobody looks
    memory: str | None = "auto"
    #: most items to start per second
    rate: float | None = None
    #: path of the journal
    journal: str | None = None
    name: str | None = None
    #: "failed": run what did not end ok again too
    resume: bool | Literal["failed"] = False
    #: seconds that running attempts have to end when the run is stopped
    grace: float = 5.0
    #: "auto": live on a terminal, lines otherwise
    progress: str = "auto"


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> RunConfig:
    """Return the options of a run from flags, environment and file, in this order of strength.

    Args:
        flags: option name to value; None means not given
        environ: `RADDLE_WORKERS` and the like; default: the process's own
        folder: where `raddle.toml` or `pyproject.toml` is looked for; default: the current one

    Raises:
        ConfigError: naming the place (file, variable or option), the value and the remedy
    """
    chosen: dict[str, Any] = _from_file(Path.cwd() if folder is None else folder)
    chosen |= _from_environment(os.environ if environ is None else environ)
    for name, value in (flags or {}).items():
        if value is not None:
            _check(name, value, shown=f"--{name.replace('_', '-')}={value}")
            chosen[name] = value
    config = RunConfig(**chosen)
    validate(**asdict(config))
    return config


def validate(**options: Any) -> None:
    """Check options given in Python, those of `RunConfig` by name, each alone and then together.

    `retry` may also be a `Retry`, `journal` a path or a journal, `backend` a backend, `progress` an observer or a list.

    Raises:
        ConfigError: such as "workers=-1: must be 0 (all granted CPUs) or more"
    """
    for name, value in options.items():
        if name not in _CHECKS:
            raise ConfigError(f"{name}={value!r}: there is no such option{_nearest(name)}")
        _check(name, value, shown=f"{name}={value!r}")
    resume = options.get("resume")
    if resume and "journal" in options and options["journal"] is None:
        raise ConfigError(f"resume={resume!r}: needs journal=, the file that remembers what is done")


def validate_permits(permits: Any, permit: Any) -> None:
    """Check what `run` takes as `permits` and `permit`.

    Raises:
        ConfigError: such as "permits={'encode': 0}: 'encode' must be a whole number, 1 or more"
    """
    if permits is None and permit is None:
        return
    if permits is None:
        raise ConfigError(f"permit={permit!r}: needs permits=, how many of each class run at once: {_EXAMPLE}")
    if not isinstance(permits, Mapping) or not permits:
        raise ConfigError(f"permits={permits!r}: must name each class and how many of it run at once: {_EXAMPLE}")
    for name, number in permits.items():
        if not isinstance(name, str):
            raise ConfigError(f"permits={permits!r}: class {name!r} must be a str: {_EXAMPLE}")
        if complaint := _whole(1, "a whole number, 1 or more")(number):
            raise ConfigError(f"permits={permits!r}: {name!r} {complaint}")
    if not callable(permit):
        raise ConfigError(f"permits={permits!r}, permit={permit!r}: permit= must be a function, item -> class or None")


# ------------------------------------------------------------------------------------------------------- places


def _from_file(folder: Path) -> dict[str, Any]:
    path = folder / "raddle.toml"
    table = _toml(path)
    if table is None:
        path = folder / "pyproject.toml"
        table = (_toml(path) or {}).get("tool", {}).get("raddle", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.raddle={table!r}: must be a table, [tool.raddle]")
    chosen: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and key not in _CHECKS:
            continue  # a workload's own table, such as [weights]
        if key not in _CHECKS:
            raise ConfigError(f"{path}: {key}={value!r}: there is no such option{_nearest(key)}")
        _check(key, value, shown=f"{path}: {key}={value!r}")
        chosen[key] = value
    return chosen


def _toml(path: Path) -> dict[str, Any] | None:
    import tomllib  # as difflib below: for the few who need it, not for every `import raddle`

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for variable, text in environ.items():
        name = variable.removeprefix(_PREFIX).lower()
        if not variable.startswith(_PREFIX):
            continue
        if name in _CHECKS:
            chosen[name] = _from_text(name, text, shown=f"{variable}={text}")
        elif near := _close(name):
            # Other variables of this prefix belong to workloads and tests; only a slip of the pen is an error.
            raise ConfigError(f"{variable}={text}: there is no such option; did you mean {_PREFIX}{near.upper()}?")
    return chosen


def _from_text(name: str, text: str, *, shown: str) -> Any:
    parse = _PARSERS.get(name, str)
    try:
        value = parse(text.strip())
    except ValueError:
        raise ConfigError(f"{shown}: {_CHECKS[name](text) or 'must be something else'}") from None
    _check(name, value, shown=shown)
    return value


# ------------------------------------------------------------------------------------------------------- checks


def _check(name: str, value: Any, *, shown: str) -> None:
    if complaint := _CHECKS[name](value):
        raise ConfigError(f"{shown}: {complaint}")


def _one_of(*names: str, objects: bool = False) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        if isinstance(value, str):
            near = _close_matches(value, names, cutoff=0.6)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            return None if value in names else f"must be one of {', '.join(names)}{hint}"
        return None if objects else f"must be one of {', '.join(names)}"

    return check


def _whole(least: int, words: str, *, optional: bool = False) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        if value is None and optional:
            return None
        good = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return None if good else f"must be {words}"

    return check


def _seconds(words: str, *, zero: bool, optional: bool = False) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        if value is None and optional:
            return None
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        return None if good and (value >= 0 if zero else value > 0) else f"must be {words}"

    return check


def _backend(value: Any) -> str | None:
    if isinstance(value, str) and "://" in value:
        return None  # the address of a Dask scheduler
    return _one_of(*BACKENDS, objects=True)(value)


def _resume(value: Any) -> str | None:
    return None if isinstance(value, bool) or value == "failed" else 'must be true, false or "failed"'


def _rate(value: Any) -> str | None:
    if value is None or isinstance(value, Rate):
        return None
    return _seconds("items per second, more than 0, or a Rate", zero=False)(value)


def _memory(value: Any) -> str | None:
    if value is None or value in ("auto", "none"):
        return None
    try:
        parse_bytes(value)
    except ConfigError as error:
        return str(error).partition(": ")[2]
    return None


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _retry(value: Any) -> str | None:
    return (
        None
        if isinstance(value, Retry)
        else _whole(0, "further tries after the first, 0 or more", optional=True)(value)
    )


def _journal(value: Any) -> str | None:
    if value is None or (isinstance(value, (str, os.PathLike)) and os.fspath(value)) or hasattr(value, "append"):
        return None
    return "must be the path of the journal, such as runs.db"


def _name(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value.strip() and value.isprintable()):
        return None
    return "must be a name in printable characters, not empty"


def _progress(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        return next((complaint for part in value if (complaint := _progress(part))), None)
    if value is None or callable(value):
        return None
    return _one_of(*PROGRESS)(value)


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "backend": _backend,
    "workers": _whole(0, "0 (all granted CPUs) or more"),
    "timeout": _seconds("seconds for one attempt, more than 0", zero=False, optional=True),
    "retry": _retry,
    "on_error": _one_of(*_ON_ERROR),
    "on_interrupted": _one_of(*_ON_INTERRUPTED),
    "ordered": _flag,
    "window": _whole(1, "the most items between source and consumer, 1 or more", optional=True),
    "memory": _memory,
    "rate": _rate,
    "journal": _journal,
    "name": _name,
    "resume": _resume,
    "grace": _seconds("seconds, 0 or more", zero=True),
    "progress": _progress,
}
if set(_CHECKS) != {field.name for field in fields(RunConfig)}:  # pragma: no cover - a slip while editing this file
    raise AssertionError("every option needs a check")


def _boolean(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError(text)


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text.lower() in {"", "none"} else parse(text)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "workers": int,
    "timeout": _optional(float),
    "retry": _optional(int),
    "ordered": _boolean,
    "window": _optional(int),
    "rate": _optional(float),
    "journal": _optional(str),
    "name": _optional(str),
    "resume": lambda text: text.lower() if text.lower() == "failed" else _boolean(text),
    "grace": float,
}


def _close_matches(word: str, known: Iterable[str], *, cutoff: float) -> list[str]:
    import difflib

    return difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=cutoff)


def _close(name: str) -> str | None:
    return next(iter(_close_matches(name.replace("-", "_"), _CHECKS, cutoff=0.8)), None)


def _nearest(name: str) -> str:
    near = _close_matches(name.replace("-", "_"), _CHECKS, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(_CHECKS)}"
