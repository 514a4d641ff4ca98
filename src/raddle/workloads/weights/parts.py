"""Parts: what a worker leaves on disk for those after it, a chunk of users with its results.

They live in a work folder until the run has ended. A file is the length of a head, the head (JSON: texts, and the
type, shape and offset of each array), and the arrays as they lie in memory. (numpy's .npz would do, at three times the
cost: it goes through zip and a checksum. Nothing is ever unpickled.)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from raddle.workloads.weights.files import replaced
from raddle.workloads.weights.values import Chunk, Filtered, Replay, Revised, Revision

if TYPE_CHECKING:
    from pathlib import Path

    from raddle.workloads.weights.values import Bools

__all__ = ["Duplicate", "Part", "read_duplicates", "read_part", "read_revised", "write_part", "write_revised"]

_ARRAYS = ("starts", "line", "file", "time", "value", "unit", "source", "height_m", "unused")
_LENGTH, _ALIGNED = 8, 64
_FILTERED = tuple(field.name for field in fields(Filtered))


@dataclass(frozen=True, slots=True, order=True)
class Duplicate:
    """A row that says what another one has said."""

    user: str
    file: int
    line: int
    #: file and line of the one that is used
    same_file: int
    same_line: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A chunk as the rules saw it, and what they said."""

    chunk: Chunk
    filtered: Filtered
    #: per row: came with this run; False: was in the state before
    fresh: Bools
    duplicates: tuple[Duplicate, ...] = ()
    #: results of earlier rows that this run's rows changed
    revisions: tuple[Revision, ...] = ()


def write_part(path: Path, part: Part, *, sync: bool = True) -> None:
    """Write a part; it is there wholly or not at all, with `sync` also after a power cut."""
    words = {
        "users": part.chunk.users,
        "source_names": part.chunk.source_names,
        "days": part.chunk.days,
        "duplicates": [_values(item) for item in part.duplicates],
        "revisions": [_values(item) for item in part.revisions],
    }
    arrays = {f"chunk_{name}": getattr(part.chunk, name) for name in _ARRAYS}
    _write(path, words, {**arrays, **_filtered_arrays(part.filtered), "fresh": part.fresh}, sync=sync)


def read_part(path: Path) -> Part:
    """Read what `write_part` wrote."""
    words, arrays = _read(path)
    chunk = Chunk(
        users=tuple(words["users"]),
        source_names=tuple(words["source_names"]),
        days=words["days"],
        **{name: arrays[f"chunk_{name}"] for name in _ARRAYS},
    )
    return Part(
        chunk,
        _filtered(arrays),
        arrays["fresh"],
        tuple(Duplicate(*item) for item in words["duplicates"]),
        tuple(Revision(*item) for item in words["revisions"]),
    )


def read_duplicates(path: Path) -> tuple[Duplicate, ...]:
    """Read only what a part says of rows that repeat another."""
    return tuple(Duplicate(*item) for item in _read_words(path)["duplicates"])


def write_revised(path: Path, revised: Revised, *, sync: bool = True) -> None:
    """Write what the retrospective pass says of a chunk."""
    words = {
        "replays": [_values(item) for item in revised.replays],
        "revisions": [_values(item) for item in revised.revisions],
    }
    more = {} if revised.smoothed is None else {"smoothed": revised.smoothed}
    _write(path, words, {**_filtered_arrays(revised.filtered), **more}, sync=sync)


def read_revised(path: Path) -> Revised:
    """Read what `write_revised` wrote."""
    words, arrays = _read(path)
    replays = []
    for item in words["replays"]:
        values = dict(zip((field.name for field in fields(Replay)), item, strict=True))
        values["outliers"] = tuple(values["outliers"])
        values["methods"] = tuple(map(tuple, values["methods"]))
        replays.append(Replay(**values))
    revisions = tuple(Revision(*item) for item in words["revisions"])
    return Revised(_filtered(arrays), tuple(replays), revisions, arrays.get("smoothed"))


def _values(item: Any) -> list[Any]:
    return [getattr(item, field.name) for field in fields(item)]


def _filtered_arrays(filtered: Filtered) -> dict[str, Any]:
    return {f"filtered_{name}": getattr(filtered, name) for name in _FILTERED}


def _filtered(arrays: dict[str, Any]) -> Filtered:
    return Filtered(**{name: arrays[f"filtered_{name}"] for name in _FILTERED})


def _write(path: Path, words: dict[str, Any], arrays: dict[str, Any], *, sync: bool) -> None:
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    places: dict[str, tuple[str, tuple[int, ...], int]] = {}
    end = 0
    for name, array in kept.items():
        places[name] = (array.dtype.str, array.shape, end)
        end += -(-array.nbytes // _ALIGNED) * _ALIGNED
    head = json.dumps({"words": words, "arrays": places}).encode()
    head += b" " * (-(len(head) + _LENGTH) % _ALIGNED)
    with replaced(path, sync=sync) as spare, spare.open("wb") as file:
        file.write(len(head).to_bytes(_LENGTH, "little") + head)
        for array in kept.values():
            file.write(array.data.cast("B") if array.nbytes else b"")
            file.write(bytes(-array.nbytes % _ALIGNED))


def _read_words(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        words: dict[str, Any] = json.loads(file.read(length))["words"]
    return words


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    content = bytearray(path.read_bytes())  # arrays over it can be written to: kernels are compiled for such
    first = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    head = json.loads(content[_LENGTH:first])
    arrays = {
        name: np.ndarray(shape, dtype=kind, buffer=content, offset=first + offset)
        for name, (kind, shape, offset) in head["arrays"].items()
    }
    return head["words"], arrays
