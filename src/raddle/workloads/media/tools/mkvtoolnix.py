"""A plan in the words of mkvmerge, which writes Matroska files from Matroska files, and of mkvpropedit.

Both count tracks as ffmpeg does, without the attachments: the covers that ffmpeg takes for pictures, and the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raddle.workloads.media.rotation import Turn, pose_of

if TYPE_CHECKING:
    from raddle.workloads.media.plan.values import Output, Plan
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = ["edits_headers", "mkvmerge_arguments", "mkvpropedit_arguments", "remuxes", "turn_arguments"]

#: ffmpeg's disposition, mkvmerge's option, mkvpropedit's property
_FLAGS: Final = (
    ("hearing_impaired", "--hearing-impaired-flag", "flag-hearing-impaired"),
    ("visual_impaired", "--visual-impaired-flag", "flag-visual-impaired"),
    ("descriptions", "--text-descriptions-flag", "flag-text-descriptions"),
    ("comment", "--commentary-flag", "flag-commentary"),
)
_SELECT: Final = (("video", "-d", "-D"), ("audio", "-a", "-A"), ("subtitle", "-s", "-S"))
#: tags of a file that its writer makes up
_WRITER: Final = frozenset({"encoder", "creation_time", "duration"})


def remuxes(plan: Plan) -> bool:
    """Say whether mkvmerge can do the plan."""
    copied = all(output.codec is None and not output.added for output in plan.outputs)
    return plan.container == "mkv" and copied and _suits(plan) and not _forgets_origin(plan)


def edits_headers(plan: Plan) -> bool:
    """Say whether mkvpropedit can do the plan, on a copy."""
    return plan.method == "headers" and plan.container == "mkv" and _suits(plan)


def _suits(plan: Plan) -> bool:
    # Tags beyond the title would need an XML file; ffmpeg takes them as they are.
    tags, old = (_beyond_title(tags) for tags in (plan.tags, plan.source.tags))
    return plan.source.container == "mkv" and tags in ({}, old)


def _forgets_origin(plan: Plan) -> bool:
    """Say whether a track shall no longer tell that it is the original or a dub: mkvmerge can only turn it around."""
    sources = {stream.index: stream for stream in plan.source.streams}
    return any(_origin(sources[o.source].dispositions) and not _origin(o.dispositions) for o in plan.outputs)


def _origin(dispositions: frozenset[str]) -> str:
    """Return the value of Matroska's flag-original: 1 for the original, 0 for a dub, "" for neither."""
    return "1" if "original" in dispositions else "0" if "dub" in dispositions else ""


def _beyond_title(tags: tuple[tuple[str, str], ...]) -> dict[str, str]:
    named = {name.lower(): value for name, value in tags}
    return {name: value for name, value in named.items() if name != "title" and name not in _WRITER}


def _title(tags: tuple[tuple[str, str], ...]) -> str:
    return next((value for name, value in tags if name.lower() == "title"), "")


def _is_attachment(stream: Stream) -> bool:
    return stream.kind == "attachment" or stream.picture


def _tracks(source: MediaFile) -> dict[int, int]:
    """Return the tracks' numbers from 0 by ffmpeg's index."""
    return {stream.index: place for place, stream in enumerate(s for s in source.streams if not _is_attachment(s))}


def mkvmerge_arguments(plan: Plan, mkvmerge: str, source: str, staged: str) -> list[str]:
    """Return the call that writes the result."""
    tracks = _tracks(plan.source)
    attached = [stream.index for stream in plan.source.streams if _is_attachment(stream)]
    argv = [mkvmerge, "--gui-mode", "--output", staged, "--title", _title(plan.tags)]
    for kind, some, none in _SELECT:
        chosen = [str(tracks[o.source]) for o in plan.outputs if o.kind == kind and o.source in tracks]
        argv += [some, ",".join(chosen)] if chosen else [none]
    files = [str(1 + attached.index(output.source)) for output in plan.outputs if output.source in attached]
    argv += ["-m", ",".join(files)] if files else ["-M"]
    argv += ["-B"]
    argv += [] if plan.chapters else ["--no-chapters"]
    argv += [] if _beyond_title(plan.tags) else ["--no-global-tags"]
    order = [output for output in plan.outputs if output.source in tracks]
    for output in order:
        number = tracks[output.source]
        argv += ["--language", f"{number}:{output.language or 'und'}", "--track-name", f"{number}:{output.title}"]
        argv += ["--default-track-flag", f"{number}:{int(output.default)}"]
        argv += ["--forced-display-flag", f"{number}:{int(output.forced)}"]
        for name, option, _ in _FLAGS:
            argv += [option, f"{number}:{int(name in output.dispositions)}"]
        origin = _origin(output.dispositions)
        argv += ["--original-flag", f"{number}:{origin}"] if origin else []
    argv += [source]
    return [*argv, "--track-order", ",".join(f"0:{tracks[output.source]}" for output in order)] if order else argv


def mkvpropedit_arguments(plan: Plan, mkvpropedit: str, staged: str) -> list[str]:
    """Return the call that changes the headers of a copy of the source; what stays as it is is not named."""
    tracks = _tracks(plan.source)
    sources = {stream.index: stream for stream in plan.source.streams}
    argv = [mkvpropedit, "--gui-mode", staged]
    if _title(plan.tags) != _title(plan.source.tags):
        title = _title(plan.tags)
        argv += ["--edit", "info", *(["--set", f"title={title}"] if title else ["--delete", "title"])]
    if _beyond_title(plan.source.tags) and not _beyond_title(plan.tags):
        argv += ["--tags", "global:"]
    if plan.source.chapters and not plan.chapters:
        argv += ["--chapters", ""]
    for output in plan.outputs:
        changes = _edits(sources[output.source], output) if output.source in tracks else []
        if changes:
            argv += ["--edit", f"track:{tracks[output.source] + 1}", *changes]
    return argv


def _edits(source: Stream, output: Output) -> list[str]:
    edits: list[str] = []
    if output.title != source.title:
        edits += ["--set", f"name={output.title}"] if output.title else ["--delete", "name"]
    if output.language != source.language:
        edits += ["--set", f"language={output.language or 'und'}"]
    if output.default != source.default:
        edits += ["--set", f"flag-default={int(output.default)}"]
    if output.forced != source.forced:
        edits += ["--set", f"flag-forced={int(output.forced)}"]
    for name, _, flag in _FLAGS:
        if (name in output.dispositions) != (name in source.dispositions):
            edits += ["--set", f"{flag}={int(name in output.dispositions)}"]
    old, new = _origin(source.dispositions), _origin(output.dispositions)
    if old != new:
        edits += ["--set", f"flag-original={new}"] if new else ["--delete", "flag-original"]
    return edits


def turn_arguments(plan: Plan, mkvpropedit: str, staged: str) -> list[str]:
    """Return the call that says in a written Matroska file how copied pictures are turned; empty: none is."""
    sources = {stream.index: stream for stream in plan.source.streams}
    edits: list[str] = []
    videos = [o for o in plan.outputs if o.kind == "video" and not sources[o.source].picture]
    for number, output in enumerate(videos, 1):
        source = sources[output.source]
        if output.codec is None and (source.rotation or source.mirrored):
            yaw, roll = pose_of(Turn(source.rotation or 0, source.mirrored))
            edits += ["--edit", f"track:v{number}", "--set", "projection-type=0"]
            edits += ["--set", f"projection-pose-yaw={yaw}", "--set", f"projection-pose-roll={roll}"]
    return [mkvpropedit, "--gui-mode", staged, *edits] if edits else []
