"""From a plan to the programs' arguments; nothing is run or looked at here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from raddle.errors import ConfigError
from raddle.workloads.media.tools.encoding import encoder_for, two_passes
from raddle.workloads.media.tools.ffmpeg import extract_picture, ffmpeg_arguments, first_pass, loose_pictures
from raddle.workloads.media.tools.mkvtoolnix import (
    edits_headers,
    mkvmerge_arguments,
    mkvpropedit_arguments,
    remuxes,
    turn_arguments,
)

if TYPE_CHECKING:
    from raddle.workloads.media.plan.values import Plan
    from raddle.workloads.media.tools.programs import Programs

__all__ = ["Command", "commands"]

#: the ffmpeg that says in Matroska how a picture is turned; the verifier sees it if one does not
_TURNS_IN_MATROSKA: Final = (6, 1)

Tool = Literal["ffmpeg", "mkvmerge", "mkvpropedit", "copy"]


@dataclass(frozen=True, slots=True)
class Command:
    """One program to run; the next one only if it ended well."""

    argv: tuple[str, ...]
    tool: Tool
    #: part of the whole work, by time; all of a plan make 1
    share: float = 1.0
    #: seconds of media that ffmpeg goes through; None: it tells no progress
    duration: float | None = None
    #: what the user should know about how it is done
    note: str = ""


def commands(plan: Plan, programs: Programs, staged: str, *, threads: int | None = None) -> tuple[Command, ...]:
    """Return what writes the planned result to `staged`, in order.

    All files that are written have names that begin with `staged`.

    Args:
        plan: with something to do
        programs: what may be used
        staged: path of the result; the file may be there, and is overwritten
        threads: of each video encoder where the policy does not say; None: the encoder decides

    Raises:
        ConfigError: an encoder is missing, or the plan does nothing
    """
    if plan.method == "none" or not plan.outputs:
        raise ConfigError(f"plan for {plan.source.path!r} writes nothing: do not run it")
    if not all(_is_text(path) for path in (plan.source.path, staged, plan.target)):
        return _by_ffmpeg(plan, programs, staged, threads)  # mkvtoolnix takes names in UTF-8 only
    if programs.mkvpropedit is not None and edits_headers(plan):
        copy = Command((*programs.copy, _plain(plan.source.path), _plain(staged)), "copy", 0.9)
        edit = mkvpropedit_arguments(plan, programs.mkvpropedit, _plain(staged))
        return (copy, Command(tuple(edit), "mkvpropedit", 0.1))
    if programs.mkvmerge is not None and plan.method != "encode" and remuxes(plan):
        merge = mkvmerge_arguments(plan, programs.mkvmerge, _plain(plan.source.path), _plain(staged))
        return (Command(tuple(merge), "mkvmerge"),)
    return _by_ffmpeg(plan, programs, staged, threads)


def _plain(path: str) -> str:
    """Return the path so that no program takes its first character for a sign: @, = and - mean something."""
    return path if path.startswith("/") else f"./{path}"


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _by_ffmpeg(plan: Plan, programs: Programs, staged: str, threads: int | None) -> tuple[Command, ...]:
    duration = plan.source.duration
    pictures = {output.source: f"{staged}.{output.source}" for output in loose_pictures(plan)}
    first = [Command(tuple(extract_picture(plan, programs, i, path)), "ffmpeg", 0.0) for i, path in pictures.items()]
    video = [output for output in plan.outputs if output.kind == "video" and output.codec is not None]
    twice = {o.source: f"{staged}.{o.source}" for o in video if o.codec and two_passes(o.codec, programs)}
    share = 1 / (1 + len(twice))
    for output in video:
        if output.source in twice:
            argv = first_pass(plan, programs, output, twice[output.source], threads)
            first.append(Command(tuple(argv), "ffmpeg", share, duration))
    argv = ffmpeg_arguments(plan, programs, staged, pictures=pictures, figures=twice, threads=threads)
    last = Command(tuple(argv), "ffmpeg", share, duration, _note(plan, programs))
    return (*first, last, *_turned(plan, programs, staged))


def _turned(plan: Plan, programs: Programs, staged: str) -> tuple[Command, ...]:
    """Return what says how copied pictures are turned, which ffmpeg forgets in Matroska up to its release 6.0.

    Raises:
        ConfigError: nothing here can
    """
    edit = programs.mkvpropedit or "mkvpropedit"
    argv = turn_arguments(plan, edit, _plain(staged)) if plan.container == "mkv" else []
    if not argv:
        return ()
    if programs.mkvpropedit is not None and _is_text(staged):
        return (Command(tuple(argv), "mkvpropedit", 0.0),)
    if programs.ffmpeg_release >= _TURNS_IN_MATROSKA:
        return ()
    raise ConfigError(
        f"ffmpeg={programs.ffmpeg!r} ({programs.ffmpeg_version}) cannot say in Matroska that the picture is turned, and"
        " the film would lie on its side: install mkvtoolnix, or a newer ffmpeg; or use container: {to: mp4}"
    )


def _note(plan: Plan, programs: Programs) -> str:
    notes: list[str] = []
    for encode in (output.codec for output in plan.outputs if output.codec is not None):
        if encode.option("two_pass") == "true" and not two_passes(encode, programs):
            notes.append(f"two_pass: {encoder_for(encode, programs)} takes one pass only")
        if encode.option("hardware") and not encoder_for(encode, programs).endswith(("_nvenc", "_qsv", "_vaapi")):
            notes.append(f"hardware: {encode.option('hardware')} is not to be had, {encode.to} is encoded by the CPU")
    return "; ".join(dict.fromkeys(notes))
