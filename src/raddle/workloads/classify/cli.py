"""`raddle classify`: run, serve, batch-export, batch-import, taxonomy."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raddle.errors import ConfigError
from raddle.plugin.command_line import (
    NOT_ALL_OK,
    OnError,
    OnErrorOption,
    Resume,
    RetryFailed,
    application,
    example,
    flatten,
    option,
)
from raddle.workloads.classify.batch.options import (
    CatalogueFlags,
    Config,
    Input,
    Progress,
    SettingsFlags,
    TaxonomyFile,
)
from raddle.workloads.classify.batch.telling import ending, say, tell, until_signal

if TYPE_CHECKING:
    from raddle.workloads.classify.batch.inputs import Catalogue
    from raddle.workloads.classify.batch.run import BatchOptions, Totals
    from raddle.workloads.classify.settings import Settings

__all__ = ["app"]

app = application("Label a catalogue by text or by picture: offline, or through any OpenAI-compatible endpoint.")


@app.command(
    "run",
    epilog=example(
        "raddle classify run products.csv -o labels.csv",
        "raddle classify run products.csv -o labels.csv --resume",
    ),
)
@flatten
def run_command(
    source: Input,
    *,
    out: Annotated[
        Path | None,
        option("--output", "-o", text="CSV or JSON Lines by its suffix. Default: JSON Lines on standard output."),
    ] = None,
    catalogue: CatalogueFlags,
    labelling: SettingsFlags,
    on_error: OnErrorOption = OnError.SKIP,
    journal: Annotated[
        Path | None, option("--journal", text="File that remembers each outcome. Default: OUTPUT.journal.")
    ] = None,
    no_journal: Annotated[bool, option("--no-journal", text="Remember nothing; an interrupted run is lost.")] = False,
    resume: Resume = False,
    retry_failed: RetryFailed = False,
    progress: Annotated[Progress, typer.Option(help="On standard error.")] = Progress.AUTO,
    as_json: Annotated[
        bool, option("--json", text="The summary as JSON on standard output; on standard error without -o.")
    ] = False,
) -> None:
    """Label each row of INPUT, and write one row with id, category, confidence and status for each, in their order.

    Exit codes: 0 all ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    where = _journal(out, journal, no_journal=no_journal)
    again = "the same command with --resume goes on" if where else ""
    with ending(again=again):
        from raddle.workloads.classify.batch.name import run_name
        from raddle.workloads.classify.batch.run import BatchOptions
        from raddle.workloads.classify.settings import in_flight

        settings, rows = labelling.settings(), catalogue.of(source)
        if out is not None and out.exists() and out.samefile(source):
            raise ConfigError(f"output={str(out)!r} is the input: give another name")
        if (resume or retry_failed) and where is None:
            raise ConfigError("--resume needs a journal: give -o or --journal, and no --no-journal")
        options = BatchOptions(
            name=run_name(rows, settings),
            workers=in_flight(settings),
            timeout=settings.timeout,
            on_error=on_error.value,
            journal=where,
            resume="failed" if retry_failed else resume,
            progress=None if progress is Progress.NONE else progress.value,
        )
        earlier = where is not None and where.exists()
        if earlier and not options.resume:
            say(f"{where} has labels of an earlier run; all begins anew, --resume would have gone on")
        totals = until_signal(lambda: _run(settings, rows, options, out))
        # Labels of another run, or of the rest of a limited one, may be in it: then it stays.
        spent = totals.all_ok and not catalogue.limit and (totals.resumed or not earlier)
        if where is not None and journal is None and spent:
            for path in (where, where.with_name(where.name + ".lock")):
                path.unlink(missing_ok=True)  # nothing is left to resume
        tell(totals, out=None if out is None else str(out), as_json=as_json)


@app.command("serve", epilog=example("raddle classify serve --port 8000"))
@flatten
def serve_command(
    *,
    host: Annotated[
        str | None, option("--host", text="Address; others than loopback need a token. Default: 127.0.0.1.")
    ] = None,
    port: Annotated[int | None, option("--port", min=0, max=65535, text="0: a free one. Default: 8000.")] = None,
    token_env: Annotated[
        str | None, option("--token-env", metavar="NAME", text="Variable with the token that clients must send.")
    ] = None,
    jobs: Annotated[
        Path | None, option("--jobs", metavar="FOLDER", text="Where jobs are kept. Default: classify-jobs.")
    ] = None,
    labelling: SettingsFlags,
) -> None:
    """Answer over HTTP: POST /classify-category, jobs with events, and a page to drop a catalogue on.

    Exit codes: 130 interrupted, 143 terminated, 2 usage or configuration.
    """
    with ending():
        from raddle.workloads.classify.serving import serve, service_settings

        settings = labelling.settings()
        given = {"host": host, "port": port, "jobs": jobs}
        serve(settings, service_settings(settings, labelling.config, token_env=token_env, **given))


@app.command(
    "batch-export",
    epilog=example(
        "raddle classify batch-export products.csv -o questions.jsonl --model MODEL",
    ),
)
@flatten
def export_command(
    source: Input,
    *,
    out: Annotated[Path, option("--output", "-o", text="JSON Lines; what one file may not hold goes into OUT-2...")],
    model: Annotated[str, option("--model", text="As the service calls it.")],
    catalogue: CatalogueFlags,
    taxonomy: TaxonomyFile = None,
    config: Config = None,
) -> None:
    """Write the questions of a catalogue as files for the OpenAI Batch API: answered within a day, at half the price.

    Exit codes: 0 all rows written, 1 some not, 2 usage or configuration.
    """
    with ending():
        from raddle.workloads.classify.batch.exchange import export
        from raddle.workloads.classify.settings import load_settings

        settings = load_settings(config, provider="offline", taxonomy=taxonomy)
        done = until_signal(lambda: export(catalogue.of(source), settings, out, model=model))
        for line in done.problems:
            say(line)
        say(f"{done.rows:,} questions in {', '.join(map(str, done.files))}, {done.left_out:,} rows left out")
        if done.left_out:
            raise typer.Exit(NOT_ALL_OK)


@app.command("batch-import", epilog=example("raddle classify batch-import products.csv answers.jsonl -o labels.csv"))
@flatten
def import_command(
    source: Input,
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS", show_default=False, help="Output and error files of the batch.")
    ],
    *,
    out: Annotated[Path | None, option("--output", "-o", text="As for `run`.")] = None,
    catalogue: CatalogueFlags,
    taxonomy: TaxonomyFile = None,
    config: Config = None,
    as_json: Annotated[bool, option("--json", text="As for `run`.")] = False,
) -> None:
    """Bring the answers of a batch back into one row for each row of INPUT, as `run` writes them.

    Exit codes: as `run`.
    """
    with ending():
        from raddle.workloads.classify.batch.exchange import bring_back
        from raddle.workloads.classify.settings import load_settings

        settings = load_settings(config, provider="offline", taxonomy=taxonomy)
        totals = bring_back(catalogue.of(source), settings, results, out)
        tell(totals, out=None if out is None else str(out), as_json=as_json)


@app.command("taxonomy", epilog=example("raddle classify taxonomy > mine.toml"))
def taxonomy_command() -> None:
    """Print the default taxonomy as TOML, to start one's own from."""
    with ending():
        text = resources.files(__package__).joinpath("taxonomy.toml").read_text(encoding="utf-8")
        typer.echo(text, nl=False)


def _journal(out: Path | None, journal: Path | None, *, no_journal: bool) -> Path | None:
    if no_journal:
        return None
    return journal or (None if out is None else out.with_name(out.name + ".journal"))


async def _run(settings: Settings, catalogue: Catalogue, options: BatchOptions, out: Path | None) -> Totals:
    from raddle.workloads.classify.batch.outputs import writer
    from raddle.workloads.classify.batch.run import run_batch
    from raddle.workloads.classify.settings import make_provider

    provider = make_provider(settings)
    try:
        with writer(out) as write:
            return await run_batch(provider, catalogue, options, write, streaming=out is None)
    finally:
        await provider.aclose()
