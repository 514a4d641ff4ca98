"""`raddle ui`: journals in a web browser."""

from __future__ import annotations

import os
import secrets
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from raddle import ConfigError, _config
from raddle.errors import MissingExtra, RaddleError

__all__ = ["app"]

_DEFAULT = "raddle.db"
_HELP = """Show the runs of one or more journals in a web browser, live while they go on.

The page only reads, and only this machine can ask for it. It ends with Ctrl-C; runs do not notice.
"""
_EPILOG = """\b
Examples:
  raddle ui
  raddle ui runs.db other.db --open
  raddle ui runs.db --allow-actions
  RADDLE_UI_TOKEN=$(openssl rand -hex 16) raddle ui runs.db --host 0.0.0.0 --token-env RADDLE_UI_TOKEN
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(help=_HELP, epilog=_EPILOG)
def ui(  # noqa: PLR0917 - Typer makes flags of them
    journals: Annotated[list[Path] | None, typer.Argument(metavar="JOURNAL", show_default=False)] = None,
    journal: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help=f"A journal; repeatable. Default: the configuration's, else {_DEFAULT}."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at. Another than this machine's needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0: a free one.")] = 8765,
    token_env: Annotated[
        str | None, typer.Option("--token-env", metavar="VAR", help="Environment variable with the token.")
    ] = None,
    allow_actions: Annotated[
        bool, typer.Option("--allow-actions", help="Allow to retry and to cancel runs. Needs a token; one is made up.")
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    serve = _serve()
    from raddle.web.settings import Settings

    token = _token(token_env)
    if token is None and allow_actions:
        # Whoever else has an account here reaches the loopback address too.
        token = secrets.token_urlsafe(16)
    settings = Settings(
        journals=tuple(_unique([*(journals or []), *(journal or [])])),
        host=host,
        port=port,
        token=token,
        allow_actions=allow_actions,
    )
    with serve.listen(settings) as listening:
        address = serve.url_of(settings, listening, with_token=token_env is None)
        typer.echo(f"raddle: {address}  (Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(serve.url_of(settings, listening, with_token=True))
        serve.make_server(settings).run(sockets=[listening])


def _unique(given: list[Path]) -> list[Path]:
    if not given:
        given = [Path(_config.load().journal or _DEFAULT)]
    return list(dict.fromkeys(path.resolve() for path in given))


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable)
    if not token:
        raise ConfigError(f"--token-env={variable}: this environment variable is not set")
    return token


def _serve() -> Any:
    try:
        from raddle.web import serve
    except ImportError as error:
        if isinstance(error, RaddleError) or error.name is None:
            raise
        raise MissingExtra(f"{error.name!r}, which the page needs,", "web") from error
    return serve
