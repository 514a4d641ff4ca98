"""A plan in words. They are made by comparing what is with what shall be, so they cannot say anything else.

`audio 2` is the second audio track of the file as it was.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle.workloads.media.plan.values import Encode, Output
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = ["changed_order", "output_changes", "stream_name", "tag_changes"]

_LAYOUTS: Final = {1: "1.0", 2: "2.0", 6: "5.1", 8: "7.1"}


def stream_name(file: MediaFile, stream: Stream) -> str:
    """Return how a stream of a file is called: audio 2 (fra, aac 2.0 "VF")."""
    alike = [one.index for one in file.streams if one.kind == stream.kind and one.picture == stream.picture]
    kind = "cover" if stream.picture else stream.kind
    number = alike.index(stream.index) + 1 if stream.index in alike else stream.index
    return f"{kind} {number} ({_traits(stream)})"


def _traits(stream: Stream) -> str:
    title = f' "{stream.title}"' if stream.title else ""
    size = f" {stream.width}x{stream.height}" if stream.width and stream.height else ""
    codec = stream.codec or "unknown codec"
    match stream.kind:
        case "audio":
            channels = f" {_LAYOUTS.get(stream.channels, f'{stream.channels} channels')}" if stream.channels else ""
            return f"{stream.language}, {codec}{channels}{title}"
        case "subtitle":
            return f"{stream.language}, {codec}{', forced' if stream.forced else ''}{title}"
        case "video":
            return f"{codec}{size}{title}"
        case "attachment":
            return stream.filename or stream.mimetype or codec
        case _:
            return f"{codec}{title}"


def _encoding(encode: Encode) -> str:
    options = dict(encode.options)
    parts = [encode.to]
    if "width" in options and "height" in options:
        parts.append(f"{options['width']}x{options['height']}")
    if "channels" in options:
        parts.append(_LAYOUTS.get(int(options["channels"]), f"{options['channels']} channels"))
    parts.extend(f"{name} {options[name]}" for name in ("crf", "preset", "tune") if name in options)
    parts.extend(f"{int(options[name]) / 1000:g} kbit/s" for name in ("bitrate",) if name in options)
    return ", ".join(parts)


def _flags(before: Stream, after: Output) -> Iterator[str]:
    for name, was, shall in (
        ("default", before.default, after.default),
        ("forced", before.forced, after.forced),
    ):
        if was != shall:
            yield f"{'set' if shall else 'clear'} {name}"
    for name in sorted(before.dispositions ^ after.dispositions):
        yield f"{'set' if name in after.dispositions else 'clear'} {name}"


def _one(file: MediaFile, before: Stream, after: Output) -> Iterator[str]:
    name = stream_name(file, before)
    if after.added and after.codec:
        title = f' "{after.title}"' if after.title else ""
        yield f"add {after.kind} ({after.language}, {_encoding(after.codec)}{title}) made of {name}"
        return
    if after.codec:
        yield f"{'convert' if before.kind == 'subtitle' else 'encode'} {name} to {_encoding(after.codec)}"
    if before.language != after.language:
        yield f"language of {name}: {before.language} to {after.language}"
    if before.title != after.title:
        yield f'title of {name}: "{after.title}"' if after.title else f"clear title of {name}"
    for flag in _flags(before, after):
        yield f"{flag} of {name}"


def changed_order(file: MediaFile, natural: tuple[int, ...], outputs: tuple[Output, ...]) -> tuple[str, ...]:
    """Return the new order in words, if it is one; `natural` are the kept streams as they stand."""
    kept = tuple(output.source for output in outputs if not output.added)
    if kept == tuple(index for index in natural if index in kept):
        return ()
    names = {stream.index: stream_name(file, stream).partition(" (")[0] for stream in file.streams}
    return (f"order: {', '.join(names[index] for index in kept)}",)


def output_changes(
    file: MediaFile, natural: tuple[int, ...], outputs: tuple[Output, ...], *, container: str, target: str
) -> tuple[str, ...]:
    """Return what becomes of the streams, the container and the name."""
    streams = {stream.index: stream for stream in file.streams}
    kept = {output.source for output in outputs}
    changes = [f"container {file.container} to {container}"] if container != file.container else []
    changes += [f"remove {stream_name(file, streams[index])}" for index in natural if index not in kept]
    changes += [change for output in outputs for change in _one(file, streams[output.source], output)]
    changes += changed_order(file, natural, outputs)
    if target != file.path and container == file.container:
        changes.append(f"name: {os.path.basename(file.path)} to {os.path.basename(target)}")  # noqa: PTH119 - text only
    return tuple(changes)


def tag_changes(before: tuple[tuple[str, str], ...], after: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return what becomes of the tags of the whole file."""
    was, shall = dict(before), dict(after)
    cleared = [f"clear tag {name}" for name in was if name not in shall]
    return (*cleared, *(f'tag {name}: "{text}"' for name, text in shall.items() if was.get(name) != text))
