"""How to go on with a run: the exact command, where it is known."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from raddle.cli._again import command_of, place_of

if TYPE_CHECKING:
    from raddle.journal.history import RunRow

__all__ = ["how_to_go_on"]

_WORKLOAD = "raddle.workloads."


def how_to_go_on(run: RunRow, counts: dict[str, int], journal: str) -> list[str]:
    """Return the commands, or what to write in Python; nothing if all is done and well."""
    name, file = shlex.quote(run.name), shlex.quote(journal)
    if run.state == "running":
        return [f"raddle runs watch {name} --journal {file}"]
    bad = any(status != "ok" for status in counts)
    if run.state == "ended" and not bad:
        return []
    command = command_of(run)
    if command is None or command["argv"][place_of(command["argv"])] not in {"map", "exec"}:
        return [_in_other_ways(run, command, journal, bad=bad)]
    pipe = "... | " if command.get("stdin") else ""
    again = f"{pipe}raddle runs retry {name} --journal {file}"
    if run.state == "ended":
        return [f"{again}    # what did not end ok"]
    return [
        f"{again}    # what did not end ok and what never ran",
        f"{_resumed(command, run, journal)}    # the latter",
    ]


def _resumed(command: dict[str, Any], run: RunRow, journal: str) -> str:
    """Return the old command with `--resume`, and with what it takes from the configuration or from defaults."""
    argv = [word for word in command["argv"] if word != "--retry-failed"]
    place = place_of(argv) + 1
    # Of exec, what follows is mostly the program's own: said once more, before it, an option does no harm.
    given = {word.partition("=")[0] for word in argv} if argv[place - 1] == "map" else set()
    ours = (("--journal", journal), ("--name", run.name), ("--resume",))
    more = [word for option in ours if option[0] not in given for word in option]
    pipe = "... | " if command.get("stdin") else ""
    return f"cd {shlex.quote(command['cwd'])} && {pipe}raddle {shlex.join([*argv[:place], *more, *argv[place:]])}"


def _in_other_ways(run: RunRow, command: dict[str, Any] | None, journal: str, *, bad: bool) -> str:
    workload = None
    if run.function.startswith(_WORKLOAD):
        workload = run.function.removeprefix(_WORKLOAD).partition(":")[0].partition(".")[0]
    if command is not None:
        argv: list[str] = command["argv"]
        place = place_of(argv)
        # Of a workload that is somebody's own it is not known how it goes on.
        resume = ["--resume"] if argv[place] == workload and "--resume" not in argv else []
        words = [*argv[: place + 2], *resume, *argv[place + 2 :]]
        return f"cd {shlex.quote(command['cwd'])} && raddle {shlex.join(words)}"
    if workload is not None:
        return f"the same raddle {workload} command once more, with --resume"
    how = "'failed'" if bad else "True"
    return f"raddle.run(func, items, journal={journal!r}, name={run.name!r}, resume={how})"
