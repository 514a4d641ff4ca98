"""The OpenAI Batch API by files: a catalogue's questions out, the answers back in."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

import raddle
from raddle.errors import ConfigError
from raddle.workloads.classify.batch.outputs import writer
from raddle.workloads.classify.batch.run import InvalidRow, Totals, entry_row
from raddle.workloads.classify.pictures import Loader
from raddle.workloads.classify.settings import make_fetcher
from raddle.workloads.classify.taxonomy import load_taxonomy
from raddle.workloads.classify.upstream import from_batch_line, split_lines, to_batch_line
from raddle.workloads.classify.upstream.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from raddle.workloads.classify.batch.inputs import Catalogue, Entry
    from raddle.workloads.classify.settings import Settings
    from raddle.workloads.classify.upstream import BatchAnswer

__all__ = ["Exported", "bring_back", "export"]

#: problems that are told one by one
_MOST: Final = 20
_IN_FLIGHT: Final = 32


@dataclass(slots=True)
class Exported:
    """What was written."""

    files: list[Path] = field(default_factory=list)
    rows: int = 0
    left_out: int = 0
    problems: list[str] = field(default_factory=list)


async def export(catalogue: Catalogue, settings: Settings, out: Path, *, model: str) -> Exported:
    """Write one request for each product into `out`, `out`-2 and so on, each no larger than the service takes.

    Raises:
        ConfigError: taxonomy or input cannot be used
    """
    prompt = Prompt(load_taxonomy(settings.taxonomy))
    had = settings.pictures
    loader = Loader(make_fetcher(had), side=had.side, max_bytes=had.max_bytes, max_pixels=had.max_pixels)

    async def line_of(entry: Entry) -> str:
        product = entry.product
        if product is None:
            raise InvalidRow(entry.error)
        picture = await loader.load(product.picture) if product.mode == "image" else None
        return to_batch_line(product, model=model, prompt=prompt, picture=picture)

    done = Exported()
    pending: deque[str] = deque()
    numbered = split_lines(iter(pending.popleft, None))  # each step takes one line and gives one
    try:
        with ExitStack() as files:
            file: IO[bytes] | None = None
            async with raddle.arun(line_of, catalogue, workers=_IN_FLIGHT, timeout=settings.timeout) as run:
                async for outcome in run:
                    if not outcome.ok:
                        done.left_out += 1
                        if len(done.problems) < _MOST:
                            done.problems.append(f"id={outcome.item.id!r}: {outcome.error and outcome.error.message}")
                        continue
                    pending.append(outcome.value)
                    number, line = next(numbered)
                    if file is None or number == len(done.files):
                        done.files.append(_numbered(out, number))
                        file = files.enter_context(_part(done.files[-1]).open("wb"))
                    file.write(line)
                    done.rows += 1
    finally:
        await loader.aclose()
    for path in done.files:
        _part(path).replace(path)
    return done


def bring_back(catalogue: Catalogue, settings: Settings, results: Sequence[Path], out: Path | None) -> Totals:
    """Write one row for each of the catalogue, from the files that the service wrote, in whatever order theirs is.

    Raises:
        ConfigError: a file is none of a batch's
    """
    taxonomy = load_taxonomy(settings.taxonomy)
    answers: dict[str, BatchAnswer] = {}
    for path in results:
        try:
            with path.open(encoding="utf-8") as file:
                found = [from_batch_line(line, taxonomy=taxonomy) for line in file if line.strip()]
        except UnicodeDecodeError as error:
            raise ConfigError(f"results={str(path)!r} is not UTF-8: give the file that the service wrote") from error
        for answer in found:
            if answer.label is not None or answer.id not in answers:  # an error file does not undo a label
                answers[answer.id] = answer
    totals = Totals()
    with writer(out) as write:
        for entry in catalogue:
            row = _answered(entry, answers)
            write(row)
            totals.statuses[row["status"]] += 1
            if row["status"] == "ok":
                totals.categories[row["category"]] += 1
    for answer in answers.values():
        if answer.label is not None:
            totals.calls += answer.label.usage.calls
            totals.input_tokens += answer.label.usage.input_tokens
            totals.output_tokens += answer.label.usage.output_tokens
    return totals


def _answered(entry: Entry, answers: dict[str, BatchAnswer]) -> dict[str, Any]:
    if entry.product is None:
        return entry_row(entry, None, status="invalid", error=entry.error)
    answer = answers.get(entry.product.id)
    if answer is None:
        return entry_row(entry, None, status="failed", error="the results have no answer for this id")
    if answer.label is None:
        return entry_row(entry, None, status="failed", error=str(answer.error))
    return entry_row(entry, answer.label, status="ok")


def _numbered(out: Path, number: int) -> Path:
    return out if number == 0 else out.with_name(f"{out.stem}-{number + 1}{out.suffix}")


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")
