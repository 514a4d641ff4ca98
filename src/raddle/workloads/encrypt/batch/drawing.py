"""One sketch, sealed or not, as a picture, a film, a page, or live."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from raddle.errors import ConfigError
from raddle.workloads.encrypt.age.feed import write_all
from raddle.workloads.encrypt.age.files import sealed
from raddle.workloads.encrypt.batch.work import common_mode
from raddle.workloads.encrypt.staging import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from raddle.workloads.encrypt.age import Keys
    from raddle.workloads.encrypt.sketch.values import Sketch

__all__ = ["Look", "draw", "kind_of", "load_sketch", "show_live", "size_from"]

#: what each kind of output can be told
_TAKES: Final[dict[str, frozenset[str]]] = {
    ".svg": frozenset({"theme", "line_width"}),
    ".png": frozenset({"theme", "line_width", "scale"}),
    ".html": frozenset({"theme", "seconds", "pens", "circles"}),
    ".mp4": frozenset({"theme", "seconds", "pens", "circles", "fps", "hold", "size"}),
    ".gif": frozenset({"theme", "seconds", "pens", "circles", "fps", "hold", "size"}),
    ".apng": frozenset({"theme", "seconds", "pens", "circles", "fps", "hold", "size"}),
    "--live": frozenset({"theme", "seconds", "pens", "fps", "size"}),
}

_NAP: Final = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Look:
    """What was asked for, by name; what was not is left to the drawing."""

    given: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, Any]:
        """Return the options.

        Raises:
            ConfigError: one does not apply
        """
        takes = _TAKES[kind]
        foreign = sorted(f"--{name.replace('_', '-')}" for name in self.given if name not in takes)
        if foreign:
            raise ConfigError(f"{', '.join(foreign)}: not for {kind}; leave it out")
        return dict(self.given)


def size_from(text: str) -> int | tuple[int, int]:
    """Read "800" or "1280x720".

    Raises:
        ConfigError: it is neither
    """
    parts = text.lower().split("x")
    if not all(part.isascii() and part.isdigit() for part in parts) or len(parts) > 2:  # noqa: PLR2004 - a pair
        raise ConfigError(f"size={text!r}: must be px such as 800, or 1280x720")
    sides = [int(part) for part in parts]
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def load_sketch(path: Path, keys: Callable[[], Keys]) -> Sketch:
    """Read a sketch file; `keys` is called if it is sealed.

    Raises:
        ConfigError: it cannot be read
        SealError, SketchDamaged: it cannot be opened, or is no sketch
    """
    from raddle.workloads.encrypt.sealing import open_bytes
    from raddle.workloads.encrypt.sketch import from_bytes

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"FILE={str(path)!r} cannot be read: {error.strerror}") from error
    return from_bytes(open_bytes(data, keys()) if sealed(data[:4096]) else data)


def kind_of(out: Path) -> str:
    """Return the suffix by which the output's kind is known.

    Raises:
        ConfigError: it says nothing
    """
    kind = out.suffix.lower()
    if kind not in _TAKES:
        raise ConfigError(f"output={str(out)!r}: must end in {', '.join(name for name in _TAKES if name[0] == '.')}")
    return kind


def draw(sketch: Sketch, out: Path, look: Look) -> str:
    """Write a drawing, whole or not at all, never over another; return what it is, in a few words.

    Raises:
        ConfigError, RaddleError: an option is out of range, the file exists, or a library is missing
    """
    kind = kind_of(out)
    options = look.of(kind)
    if kind in {".mp4", ".gif", ".apng"}:
        from raddle.workloads.encrypt.draw.animate import animate

        film = animate(sketch, out, **options)
        return f"{film.width} x {film.height}, {film.frames:,} frames, {film.codec}, {film.size:,} bytes"
    with staged(out, mode=common_mode()) as file:
        data = _still(sketch, kind, options)
        write_all(file, data)
    return f"{len(data):,} bytes"


def _still(sketch: Sketch, kind: str, options: dict[str, Any]) -> bytes:
    if kind == ".html":
        from raddle.workloads.encrypt.draw.page import html_page

        return html_page(sketch, **options).encode()
    from raddle.workloads.encrypt.draw import still

    return still.png(sketch, **options) if kind == ".png" else still.svg(sketch, **options).encode()


def show_live(
    sketch: Sketch, where: str, look: Look, *, browser: bool, stay: bool, tell: Callable[[str], object]
) -> None:
    """Draw before the user's eyes: on a page of this machine until Ctrl-C, or in a window until that is closed.

    Raises:
        ConfigError, MissingExtra: an option is out of range; there is no window here
    """
    from raddle.workloads.encrypt.live.renderer import ThreadSafeRenderer

    options = look.of("--live")
    size, theme = options.pop("size", (1280, 960)), options.pop("theme", "dark")
    width, height = (size, size) if isinstance(size, int) else size
    backend = "page" if where == "page" else "matplotlib"
    with ThreadSafeRenderer(backend, width=width, height=height, theme=theme) as renderer:
        if backend == "page":
            tell(renderer.url)
            with _ended_by_ctrl_c() if stay else nullcontext():
                if browser:
                    renderer.show()
                renderer.animate(sketch, **options)
                if stay:
                    tell("drawn; Ctrl-C ends the page")
                    while True:
                        time.sleep(_NAP)  # not signal.pause(), which misses a signal that comes just before it
            return
        threading.Thread(target=lambda: renderer.animate(sketch, **options), name="raddle-draw", daemon=True).start()
        renderer.show()


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as asked:
        if type(asked) is not KeyboardInterrupt:  # SIGTERM is told by the exit code; Ctrl-C is how this ends
            raise
