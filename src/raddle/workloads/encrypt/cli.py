"""`raddle encrypt`: keygen, seal, open, sketch, draw."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raddle.errors import ConfigError
from raddle.plugin import needed
from raddle.plugin.command_line import RESUME, Backend, application, example, flatten, option
from raddle.workloads.encrypt.batch.keyring import keys_for, lock_for
from raddle.workloads.encrypt.batch.options import (
    AsksPassphrase,
    Folder,
    Identities,
    Live,
    LockFlags,
    Passphrase,
    Pens,
    RunFlags,
    SketchFlags,
    Theme,
)
from raddle.workloads.encrypt.batch.plan import Plan, folders_above, make_folders, plan
from raddle.workloads.encrypt.batch.telling import Told, ending, say
from raddle.workloads.encrypt.sketch.values import EncryptionConfig, PreprocessConfig

if TYPE_CHECKING:
    from raddle.workloads.encrypt.batch.run import BatchOptions
    from raddle.workloads.encrypt.batch.work import Work

__all__ = ["app"]

app = application("Seal any files as age v1, open them again bit for bit; sketch pictures as Fourier drawings.")

_PICTURES = ("numpy", ("PIL", "pillow"), ("cv2", "opencv-python-headless"))


@app.command("keygen", cls=AsksPassphrase, epilog=example("raddle encrypt keygen -o key.txt"))
def keygen_command(
    out: Annotated[Path, option("--output", "-o", text="Identity file to write, never over another.")],
    passphrase: Passphrase = None,
) -> None:
    """Make a key: the identity goes to a file (keep it), the recipient is printed (give it away)."""
    with ending():
        needed("encrypt", "cryptography")
        from raddle.workloads.encrypt import keys

        keys.forbid_core_dump()
        secret = keys.secret_from(passphrase, confirm=True) if passphrase else None
        if secret is not None and (advice := keys.advice(secret)):
            say(advice)
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        typer.echo(str(keys.keygen(out, created=created, passphrase=secret)))


@app.command("seal", cls=AsksPassphrase, epilog=example("raddle encrypt seal --recursive photos -o sealed -r age1..."))
@flatten
def seal_command(
    files: Annotated[list[str], typer.Argument(metavar="FILE", show_default=False)],
    out: Folder,
    sealing: LockFlags,
    flags: RunFlags,
) -> None:
    """Seal each FILE as OUTPUT/NAME.age, an age v1 file, which the `age` program opens too.

    Exit codes: 0 all files ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    with ending(again=RESUME):
        needed("encrypt", "cryptography")
        sealing.lock.check()
        todo = plan("seal", files, out, suffix=".age", recursive=flags.recursive, own=flags.own)
        _sealed_batch(todo, out, sealing, flags.run("encrypt-seal"), Told("seal", str(out), flags.as_json))


@app.command("open", cls=AsksPassphrase, epilog=example("raddle encrypt open --recursive sealed -o plain -i key.txt"))
@flatten
def open_command(
    files: Annotated[list[str], typer.Argument(metavar="FILE", show_default=False)],
    out: Folder,
    *,
    identity: Identities = None,
    passphrase: Passphrase = None,
    flags: RunFlags,
) -> None:
    """Open each sealed FILE, of raddle or of the `age` program, as OUTPUT/NAME without .age.

    Exit codes: 0 all files ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    with ending(again=RESUME):
        needed("encrypt", "cryptography")
        from raddle.workloads.encrypt import keys
        from raddle.workloads.encrypt.batch.work import Open
        from raddle.workloads.encrypt.lending import lend

        keys.forbid_core_dump()
        todo = plan("open", files, out, recursive=flags.recursive, own=flags.own)
        found, notes = keys_for(identity or (), passphrase, folders_above(job.source for job in todo.jobs))
        for note in notes:
            say(note)
        make_folders(todo.jobs, out)
        with lend(found) as loan:
            _batch(Open(loan), todo, flags.run("encrypt-open"), Told("open", str(out), flags.as_json))


@app.command("sketch", cls=AsksPassphrase, epilog=example("raddle encrypt sketch photos/*.jpg -o sketches -r age1..."))
@flatten
def sketch_command(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE", show_default=False)],
    out: Folder,
    *,
    coefficients: Annotated[int, typer.Option(min=0, help="Budget over all contours together; 0: all.")] = 8000,
    min_contour_points: Annotated[int, typer.Option(help="Shorter contours are not traced.")] = 10,
    size: Annotated[str | None, option("--size", text="Bring pictures to fit into px such as 1280x720 first.")] = None,
    stretch: Annotated[bool, option("--stretch", text="To that size exactly, whatever the shape.")] = False,
    denoise: Annotated[float | None, option("--denoise", text="Take noise away first, 0 to 1.")] = None,
    smoothing: Annotated[float, typer.Option(help="Sigma in px of the Gaussian before edges are looked for.")] = 0.85,
    thresholds: Annotated[
        str | None, option("--thresholds", text="LOW,HIGH of the Canny edge detector; default: by the median grey.")
    ] = None,
    max_pixels: Annotated[int, typer.Option(help="Pictures with more are refused, by their header.")] = 64_000_000,
    max_trace_pixels: Annotated[int, typer.Option(help="Larger pictures are reduced first.")] = 8_300_000,
    allow_truncated: Annotated[
        bool, option("--allow-truncated", text="Sketch what there is of a file that breaks off.")
    ] = False,
    sealing: LockFlags,
    flags: SketchFlags,
) -> None:
    """Sketch each PICTURE as OUTPUT/NAME.sketch, or NAME.sketch.age: outlines only, the photo cannot be recovered.

    Exit codes: 0 all pictures ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    with ending(again=RESUME):
        needed("encrypt", "cryptography", *_PICTURES)
        from raddle.workloads.encrypt.batch.work import Trace

        encryption = EncryptionConfig(num_coefficients=coefficients or None, min_contour_points=min_contour_points)
        preprocess = PreprocessConfig(
            target_size=_pair("size", size, "x", int),
            maintain_aspect_ratio=not stretch,
            denoise=denoise is not None,
            smoothing=smoothing,
            thresholds=_pair("thresholds", thresholds, ",", float),
            max_pixels=max_pixels,
            max_trace_pixels=max_trace_pixels,
            allow_truncated=allow_truncated,
            **({} if denoise is None else {"denoise_strength": denoise}),
        )
        if flags.backend is Backend.SERIAL:
            flags = replace(flags, timeout=None)
        suffix = ".sketch.age" if sealing.lock else ".sketch"
        todo = plan("sketch", pictures, out, suffix=suffix, recursive=flags.recursive, own=flags.own)
        told, run = Told("sketch", str(out), flags.as_json), flags.run("encrypt-sketch")
        if sealing.lock:
            sealing.lock.check()
            _sealed_batch(todo, out, sealing, run, told, trace=Trace(preprocess, encryption))
        else:
            if sealing.standalone or sealing.armor:
                raise ConfigError("--standalone and --armor are about sealing: give --recipient or --passphrase too")
            make_folders(todo.jobs, out)
            _batch(Trace(preprocess, encryption), todo, run, told, how=f"{preprocess} {encryption}")


@app.command(
    "draw",
    cls=AsksPassphrase,
    epilog=example(
        "raddle encrypt draw horse.png.sketch.age -i key.txt -o horse.svg",
    ),
)
def draw_command(  # noqa: PLR0917 - Typer reads options from parameters
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    out: Annotated[
        Path | None, option("--output", "-o", text="Drawing to write: .svg, .png, .mp4, .gif, .apng or .html.")
    ] = None,
    live: Annotated[Live | None, option("--live", text="Draw before your eyes: page (browser) or window.")] = None,
    identity: Identities = None,
    passphrase: Passphrase = None,
    seconds: Annotated[float | None, option("--seconds", text="Time of drawing.")] = None,
    fps: Annotated[int | None, option("--fps", text="Frames a second.")] = None,
    hold: Annotated[float | None, option("--hold", text="Seconds that a film shows the finished drawing.")] = None,
    size: Annotated[str | None, option("--size", text="px of a film: the longer side, or 1280x720.")] = None,
    pens: Annotated[Pens | None, option("--pens", text="One contour after another, or all at once.")] = None,
    circles: Annotated[int | None, option("--circles", text="Most circles shown at once.")] = None,
    theme: Annotated[Theme | None, option("--theme", text="Colours.")] = None,
    scale: Annotated[float | None, option("--scale", text="Of a PNG: times the size of the picture.")] = None,
    line_width: Annotated[float | None, option("--line-width", text="Of an SVG or PNG, in px of the picture.")] = None,
    no_browser: Annotated[bool, option("--no-browser", text="Print the page's address and open nothing.")] = False,
    once: Annotated[bool, option("--once", text="End the live page with the drawing, not with Ctrl-C.")] = False,
) -> None:
    """Draw a sketch FILE, sealed or not: as a picture, a film, a page with a player, or live.

    Exit codes: 0 drawn, 2 it cannot be, 130 interrupted, 143 terminated.
    """
    asked: dict[str, Any] = {"seconds": seconds, "fps": fps, "hold": hold, "circles": circles}
    asked |= {"scale": scale, "line_width": line_width, "pens": pens and pens.value, "theme": theme and theme.value}
    with ending():
        needed("encrypt", "cryptography", *_PICTURES)
        from raddle.workloads.encrypt import keys
        from raddle.workloads.encrypt.batch import drawing

        if (out is None) == (live is None):
            raise ConfigError("give --output FILE to write a drawing, or --live page or window to watch it")
        if size is not None:
            asked["size"] = drawing.size_from(size)
        look = drawing.Look({option: value for option, value in asked.items() if value is not None})
        look.of("--live" if out is None else drawing.kind_of(out))
        keys.forbid_core_dump()
        above = folders_above([str(file)])
        sketch = drawing.load_sketch(file, lambda: keys_for(identity or (), passphrase, above)[0])
        if out is not None:
            typer.echo(f"{out}: {drawing.draw(sketch, out, look)}")
        elif live is not None:
            drawing.show_live(sketch, live.value, look, browser=not no_browser, stay=not once, tell=typer.echo)


def _sealed_batch(
    todo: Plan, out: Path, sealing: LockFlags, run: BatchOptions, told: Told, *, trace: Any = None
) -> None:
    from raddle.workloads.encrypt import keys
    from raddle.workloads.encrypt.batch.work import Seal
    from raddle.workloads.encrypt.lending import lend

    keys.forbid_core_dump()
    lock, public, notes = lock_for(sealing.lock, out)
    make_folders(todo.jobs, out)
    how = f"armor={sealing.armor} to {public}" + (
        f" {trace.preprocess} {trace.encryption}" if trace is not None else ""
    )
    with lend(lock) as loan:
        work: Work = Seal(loan, sealing.armor) if trace is None else replace(trace, lock=loan, armor=sealing.armor)
        _batch(work, todo, run, told, how=how, notes=notes)


def _batch(
    work: Work, todo: Plan, run: BatchOptions, told: Told, *, how: str = "", notes: list[str] | None = None
) -> None:
    from raddle.workloads.encrypt.batch.published import Published
    from raddle.workloads.encrypt.batch.run import run_batch

    for path, reason in todo.left_out:
        say(f"{path} is left out: {reason}")
    if run.journal is not None:
        work = replace(work, published=Published.beside(run.journal, run.name))
    totals = run_batch(work, [replace(job, how=how) for job in todo.jobs], run, told)
    for note in notes or ():
        say(note)
    told.end(totals)


def _pair(name: str, text: str | None, between: str, kind: type[int | float]) -> Any:
    if text is None:
        return None
    try:
        first, second = map(kind, text.lower().split(between))
    except ValueError as error:
        raise ConfigError(f"--{name}={text}: must be two numbers with {between!r} between them") from error
    return first, second
