"""The pages as HTML, and the files that they load. All from here: nothing from another host."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from raddle.web.api import Journal, Uid, refusals
from raddle.web.guard import csrf_token
from raddle.web.reading import Site

__all__ = ["denied", "page_routes", "shown"]

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: ours change with each version, and may change while we write them
_FRESH = {"Cache-Control": "no-cache"}
_KEEP = {"Cache-Control": "private, max-age=86400"}


def page_routes(site: Site) -> APIRouter:
    """Return the routes of the pages and of what they load."""
    router = APIRouter(default_response_class=HTMLResponse)

    def render(name: str, **facts: Any) -> HTMLResponse:
        return HTMLResponse(
            _environment()
            .get_template(name)
            .render(
                csrf=csrf_token(site.settings),
                allow_actions=site.settings.allow_actions,
                journals=shown([reader.history.path for reader in site.readers]),
                version=version("raddle"),
                **facts,
            )
        )

    @router.get("/", responses=refusals())
    async def runs() -> HTMLResponse:
        """Return the list of runs."""
        return render("runs.html")

    @router.get("/runs/{journal}/{uid}", responses=refusals(404))
    async def run(journal: Journal, uid: Uid) -> HTMLResponse:
        """Return the page of one run; whether it is there, the page finds out."""
        site.reader(journal)
        return render("run.html", journal=journal, uid=uid)

    _files(router)
    return router


def _files(router: APIRouter) -> None:
    @router.get("/static/plotly.min.js", response_class=Response, responses=refusals(404))
    async def plotly() -> Response:
        """Return the charts' library, as the package `plotly` brings it."""
        path = _plotly()
        if path is None:
            raise HTTPException(404, "plotly is not installed: pip install 'raddle[web]'")
        return FileResponse(path, media_type="text/javascript", headers=_KEEP)

    @router.get("/static/{name}", response_class=Response, responses=refusals(404))
    async def static(name: str) -> Response:
        """Return a script, a style or a picture of ours."""
        if name not in _static():
            raise HTTPException(404, "no such file")
        return Response(_static()[name], media_type=_TYPES[Path(name).suffix], headers=_FRESH)


def denied() -> str:
    """Return the page for who has no token."""
    return _environment().get_template("denied.html").render(version=version("raddle"))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("raddle.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _static() -> dict[str, bytes]:
    folder = files("raddle.web").joinpath("static")
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if Path(entry.name).suffix in _TYPES}


@cache
def _plotly() -> Path | None:
    try:
        found = files("plotly").joinpath("package_data", "plotly.min.js")
    except ModuleNotFoundError:
        return None
    path = Path(str(found))
    return path if path.is_file() else None


def shown(paths: list[Path]) -> list[dict[str, str]]:
    """Return paths as text, whatever their bytes: whole, and as much of the end as tells them apart."""
    names = []
    for path in paths:
        ends = (Path(*path.parts[start:]) for start in range(len(path.parts) - 1, -1, -1))
        others = [other.parts for other in paths if other != path]
        names.append(next((end for end in ends if all(o[-len(end.parts) :] != end.parts for o in others)), path))
    return [{"name": _text(name), "path": _text(path)} for name, path in zip(names, paths, strict=True)]


def _text(path: Path) -> str:
    return str(path).encode("utf-8", "replace").decode()
