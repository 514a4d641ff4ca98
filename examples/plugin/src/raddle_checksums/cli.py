"""`raddle checksums make` and `raddle checksums verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import raddle
from raddle.plugin.command_line import (
    NOT_ALL_OK,
    RESUME,
    Journal,
    Resume,
    RetryFailed,
    Workers,
    application,
    ending,
    example,
    option,
)
from raddle_checksums.work import digest, files_below, line_for, read_lines, same_file

__all__ = ["app"]

app = application("SHA-256 of all files of a folder.")


@app.command(epilog=example("raddle checksums make photos -o photos.sha256 --journal photos.db --resume"))
def make(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    *,
    output: Annotated[Path, option("--output", "-o", text="File to write, whole or not at all.")],
    workers: Workers = 0,
    journal: Journal = None,
    resume: Resume = False,
    retry_failed: RetryFailed = False,
) -> None:
    """Write the checksums of all files below FOLDER. Exit codes: 0 all files, 1 some not, 2 usage."""
    own = _own(output, journal)
    files = (path for path in files_below(folder) if path.resolve() not in own)
    part = Path(f"{output}.part")
    with ending("raddle checksums", again=RESUME):
        with (
            raddle.run(
                digest,
                files,
                id=same_file,
                name=f"checksums of {folder}",
                workers=workers,
                progress="auto",
                journal=journal,
                resume="failed" if retry_failed else resume,
            ) as run,
            part.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as lines,
        ):
            for outcome in run:
                if outcome.ok:
                    lines.write(line_for(outcome.value, outcome.item))
                else:
                    typer.echo(f"{outcome.item}: {outcome.status}: {outcome.error}", err=True)
        part.replace(output)
    _end(run.summary, f"{run.summary.ok} checksums in {output}")


@app.command()
def verify(
    sums: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    *,
    workers: Workers = 0,
) -> None:
    """Compare files with what SUMS says. Exit codes: 0 all as they were, 1 some not, 2 usage."""
    with ending("raddle checksums"):
        expected = _expected(sums)
        changed = 0
        with raddle.run(digest, expected, name=f"verify {sums}", workers=workers, progress="auto") as run:
            for outcome in run:
                if not outcome.ok:
                    typer.echo(f"{outcome.item}: {outcome.status}: {outcome.error}", err=True)
                elif outcome.value != expected[outcome.item]:
                    changed += 1
                    typer.echo(f"{outcome.item}: changed", err=True)
    _end(run.summary, f"{run.summary.ok - changed} of {run.summary.admitted} as they were", also_bad=changed)


def _expected(sums: Path) -> dict[Path, str]:
    with sums.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        try:
            return dict(read_lines(lines))
        except ValueError as error:
            raise raddle.ConfigError(f"{sums}: {error}") from error  # `ending` prints it, and ends with 2


def _own(output: Path, journal: Path | None) -> set[Path]:
    """Return the files that this very command writes: they may lie in the folder."""
    names = [str(output), f"{output}.part"]
    if journal is not None:
        names += [f"{journal}{end}" for end in ("", "-wal", "-shm", ".lock")]
    return {Path(name).resolve() for name in names}


def _end(summary: raddle.Summary, text: str, *, also_bad: int = 0) -> None:
    typer.echo(f"{text}, {summary.resumed} of them known before" if summary.resumed else text)
    raise typer.Exit(0 if summary.all_ok and not also_bad else NOT_ALL_OK)
