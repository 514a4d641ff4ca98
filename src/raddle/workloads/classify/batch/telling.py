"""What the user is told of a batch, and how a command ends."""

from __future__ import annotations

import asyncio
import json
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer

from raddle.plugin import command_line
from raddle.plugin.command_line import NOT_ALL_OK, Interrupted

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Coroutine, Iterator

    from raddle.workloads.classify.batch.run import Totals

__all__ = ["ending", "say", "tell", "until_signal"]

_PROGRAM: Final = "raddle classify"
ending = partial(command_line.ending, _PROGRAM)
say = partial(command_line.say, _PROGRAM)
_T = TypeVar("_T")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def until_signal(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine to its end; SIGINT and SIGTERM cancel it, and `ending` tells.

    A handler of the loop, not one that raises: between two callbacks nothing is left half done.
    """
    got: list[int] = []

    async def main() -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: int) -> None:
            got.append(number)
            if task is not None:
                task.cancel()

        for number in _SIGNALS:
            loop.add_signal_handler(number, stop, number)
        return await work()

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        if not got:
            raise
        raise Interrupted(got[0]) from None


def tell(totals: Totals, *, out: str | None, as_json: bool) -> None:
    """Tell the end: on standard error, or as a line of JSON on standard output, or error if rows went there.

    Raises:
        Exit: not all items have a label
    """
    if as_json:
        typer.echo(json.dumps(totals.as_dict()), err=out is None)
    else:
        for line in _lines(totals, out):
            say(line)
    if not totals.all_ok:
        raise typer.Exit(NOT_ALL_OK)


def _lines(totals: Totals, out: str | None) -> Iterator[str]:
    done = totals.items - totals.resumed
    per_second = f", {done / totals.seconds:,.1f} a second" if done and totals.seconds else ""
    again = f", {totals.resumed:,} of them taken from the journal" if totals.resumed else ""
    yield f"{totals.items:,} items{again} in {totals.seconds:,.1f} s{per_second}" + (f"; {out}" if out else "")
    yield "status: " + (_counts(totals.statuses) or "nothing to do")
    if totals.categories:
        yield "category: " + _counts(totals.categories)
    if totals.calls or totals.cached:
        share = totals.cached / done if done else 0.0
        yield (
            f"endpoint: {totals.calls:,} calls, {totals.input_tokens:,} tokens in, {totals.output_tokens:,} out; "
            f"{share:.1%} of the items from the cache or an identical item"
        )


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.most_common())
