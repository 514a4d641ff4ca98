"""`raddle classify`: run, serve, batch-export, batch-import, taxonomy."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from raddle.errors import ConfigError
from raddle.workloads.classify.batch.options import (
    Cache,
    Config,
    Encoding,
    EndpointUrl,
    IdColumn,
    ImageColumn,
    Input,
    KeyEnv,
    Limit,
    Margin,
    Model,
    ModeOption,
    NameColumn,
    NoCache,
    OnError,
    Progress,
    ProviderOption,
    TaxonomyFile,
    TextFallback,
    Timeout,
    Workers,
    option,
)
from raddle.workloads.classify.batch.telling import NOT_ALL_OK, ending, say, tell, until_signal

if TYPE_CHECKING:
    from raddle.workloads.classify.batch.inputs import Catalogue
    from raddle.workloads.classify.batch.run import BatchOptions, Totals
    from raddle.workloads.classify.settings import Settings

__all__ = ["app"]

app = typer.Typer(
    help="Label a catalogue by text or by picture: offline, or through any OpenAI-compatible endpoint.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_OF_SETTINGS = ("provider", "taxonomy", "margin", "timeout", "workers", "text_fallback", "cache")


def _example(*lines: str) -> str:
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@app.command(
    "run",
    epilog=_example(
        "raddle classify run products.csv -o labels.csv",
        "raddle classify run products.csv -o labels.csv --resume",
    ),
)
def run_command(  # noqa: PLR0917 - Typer reads options from parameters
    source: Input,
    out: Annotated[
        Path | None,
        option("--output", "-o", text="CSV or JSON Lines by its suffix. Default: JSON Lines on standard output."),
    ] = None,
    mode: ModeOption = None,
    provider: ProviderOption = None,
    id_column: IdColumn = None,
    name_column: NameColumn = None,
    image_column: ImageColumn = None,
    encoding: Encoding = "utf-8",
    limit: Limit = 0,
    taxonomy: TaxonomyFile = None,
    endpoint: EndpointUrl = None,
    model: Model = None,
    key_env: KeyEnv = None,
    margin: Margin = None,
    timeout: Timeout = None,
    workers: Workers = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    text_fallback: TextFallback = None,
    on_error: Annotated[OnError, typer.Option(help="fail: start nothing more after the first that fails.")] = (
        OnError.SKIP
    ),
    journal: Annotated[
        Path | None, option("--journal", text="File that remembers each outcome. Default: OUTPUT.journal.")
    ] = None,
    no_journal: Annotated[bool, option("--no-journal", text="Remember nothing; an interrupted run is lost.")] = False,
    resume: Annotated[bool, option("--resume", text="Do only the rows that the journal does not have.")] = False,
    retry_failed: Annotated[
        bool, option("--retry-failed", text="As --resume, and do again what has no label.")
    ] = False,
    config: Config = None,
    progress: Annotated[Progress, typer.Option(help="On standard error.")] = Progress.AUTO,
    as_json: Annotated[
        bool, option("--json", text="The summary as JSON on standard output; on standard error without -o.")
    ] = False,
) -> None:
    """Label each row of INPUT, and write one row with id, category, confidence and status for each, in their order.

    Exit codes: 0 all ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    given = locals()
    where = _journal(out, journal, no_journal=no_journal)
    again = "the same command with --resume goes on" if where else ""
    with ending(again=again):
        from raddle.workloads.classify.batch.name import run_name

        settings, catalogue = _settings(given), _catalogue(given)
        if out is not None and out.exists() and out.samefile(source):
            raise ConfigError(f"output={str(out)!r} is the input: give another name")
        if (resume or retry_failed) and where is None:
            raise ConfigError("--resume needs a journal: give -o or --journal, and no --no-journal")
        options = _options(given, run_name(catalogue, settings), where, settings)
        earlier = where is not None and where.exists()
        if earlier and not options.resume:
            say(f"{where} has labels of an earlier run; all begins anew, --resume would have gone on")
        totals = until_signal(lambda: _run(settings, catalogue, options, out))
        # Labels of another run, or of the rest of a limited one, may be in it: then it stays.
        spent = totals.all_ok and not limit and (totals.resumed or not earlier)
        if where is not None and journal is None and spent:
            for path in (where, where.with_name(where.name + ".lock")):
                path.unlink(missing_ok=True)  # nothing is left to resume
        tell(totals, out=None if out is None else str(out), as_json=as_json)


@app.command("serve", epilog=_example("raddle classify serve --port 8000"))
def serve_command(  # noqa: PLR0917 - as above
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
    provider: ProviderOption = None,
    taxonomy: TaxonomyFile = None,
    endpoint: EndpointUrl = None,
    model: Model = None,
    key_env: KeyEnv = None,
    margin: Margin = None,
    timeout: Timeout = None,
    workers: Workers = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    text_fallback: TextFallback = None,
    config: Config = None,
) -> None:
    """Answer over HTTP: POST /classify-category, jobs with events, and a page to drop a catalogue on.

    Exit codes: 130 interrupted, 143 terminated, 2 usage or configuration.
    """
    given = locals()
    with ending():
        from raddle.workloads.classify.serving import serve, service_settings

        settings = _settings(given)
        serve(settings, service_settings(settings, config, token_env=token_env, host=host, port=port, jobs=jobs))


@app.command(
    "batch-export",
    epilog=_example(
        "raddle classify batch-export products.csv -o questions.jsonl --model MODEL",
    ),
)
def export_command(  # noqa: PLR0917 - as above
    source: Input,
    out: Annotated[Path, option("--output", "-o", text="JSON Lines; what one file may not hold goes into OUT-2...")],
    model: Annotated[str, option("--model", text="As the service calls it.")],
    mode: ModeOption = None,
    id_column: IdColumn = None,
    name_column: NameColumn = None,
    image_column: ImageColumn = None,
    encoding: Encoding = "utf-8",
    limit: Limit = 0,
    taxonomy: TaxonomyFile = None,
    config: Config = None,
) -> None:
    """Write the questions of a catalogue as files for the OpenAI Batch API: answered within a day, at half the price.

    Exit codes: 0 all rows written, 1 some not, 2 usage or configuration.
    """
    given = locals() | {"provider": "offline"}
    with ending():
        from raddle.workloads.classify.batch.exchange import export

        settings, catalogue = _settings(given), _catalogue(given)
        done = until_signal(lambda: export(catalogue, settings, out, model=model))
        for line in done.problems:
            say(line)
        say(f"{done.rows:,} questions in {', '.join(map(str, done.files))}, {done.left_out:,} rows left out")
        if done.left_out:
            raise typer.Exit(NOT_ALL_OK)


@app.command("batch-import", epilog=_example("raddle classify batch-import products.csv answers.jsonl -o labels.csv"))
def import_command(  # noqa: PLR0917 - as above
    source: Input,
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS", show_default=False, help="Output and error files of the batch.")
    ],
    out: Annotated[Path | None, option("--output", "-o", text="As for `run`.")] = None,
    mode: ModeOption = None,
    id_column: IdColumn = None,
    name_column: NameColumn = None,
    image_column: ImageColumn = None,
    encoding: Encoding = "utf-8",
    limit: Limit = 0,
    taxonomy: TaxonomyFile = None,
    config: Config = None,
    as_json: Annotated[bool, option("--json", text="As for `run`.")] = False,
) -> None:
    """Bring the answers of a batch back into one row for each row of INPUT, as `run` writes them.

    Exit codes: as `run`.
    """
    given = locals() | {"provider": "offline"}
    with ending():
        from raddle.workloads.classify.batch.exchange import bring_back

        totals = bring_back(_catalogue(given), _settings(given), results, out)
        tell(totals, out=None if out is None else str(out), as_json=as_json)


@app.command("taxonomy", epilog=_example("raddle classify taxonomy > mine.toml"))
def taxonomy_command() -> None:
    """Print the default taxonomy as TOML, to start one's own from."""
    with ending():
        text = resources.files(__package__).joinpath("taxonomy.toml").read_text(encoding="utf-8")
        typer.echo(text, nl=False)


def _settings(given: dict[str, Any]) -> Settings:
    from raddle.workloads.classify.settings import load_settings

    options = {name: given.get(name) for name in _OF_SETTINGS}
    if (endpoint := given.get("endpoint")) is not None:
        if given.get("model") is None:
            raise ConfigError("--endpoint needs --model: the name by which it knows the model")
        if given.get("provider") in {None, "offline"} and given.get("config") is None:
            raise ConfigError("--endpoint is for --provider openai or cascade; the default is offline")
        key = {"key_env": given["key_env"]} if given.get("key_env") else {}
        options["endpoints"] = ({"url": endpoint, "model": given["model"], **key},)
    elif "endpoint" in given and (given.get("model") or given.get("key_env")):
        raise ConfigError("--model and --key-env belong to --endpoint; other endpoints stand in the --config file")
    return load_settings(given.get("config"), no_cache=bool(given.get("no_cache")), **options)


def _catalogue(given: dict[str, Any]) -> Catalogue:
    from raddle.workloads.classify.batch.inputs import Catalogue
    from raddle.workloads.classify.batch.rows import Columns

    columns = Columns(id=given["id_column"], name=given["name_column"], image=given["image_column"])
    mode: Literal["text", "image"] | None = given["mode"] and given["mode"].value
    return Catalogue(path=given["source"], mode=mode, columns=columns, limit=given["limit"], encoding=given["encoding"])


def _journal(out: Path | None, journal: Path | None, *, no_journal: bool) -> Path | None:
    if no_journal:
        return None
    return journal or (None if out is None else out.with_name(out.name + ".journal"))


def _options(given: dict[str, Any], name: str, journal: Path | None, settings: Settings) -> BatchOptions:
    from raddle.workloads.classify.batch.run import BatchOptions
    from raddle.workloads.classify.settings import in_flight

    progress = given["progress"].value
    return BatchOptions(
        name=name,
        workers=in_flight(settings),
        timeout=settings.timeout,
        on_error=given["on_error"].value,
        journal=journal,
        resume="failed" if given["retry_failed"] else given["resume"],
        progress=None if progress == "none" else progress,
    )


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
