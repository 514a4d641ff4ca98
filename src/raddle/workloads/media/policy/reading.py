"""YAML nodes to values, with the place of every problem. A reader takes a node and its dotted name.

YAML's own idea of types is not used: the text as written counts, so that the language `no` is no falsehood and
`1:30` no number.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

__all__ = [
    "Problem",
    "Reader",
    "Shape",
    "Wrong",
    "below",
    "entries",
    "flag",
    "integer",
    "list_of",
    "named",
    "one_of",
    "read_all",
    "shape",
    "text",
    "wrong",
]

T = TypeVar("T")
Reader = Callable[[Node, str], Any]
_MAX_TEXT = 60


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong. Lines from 1."""

    line: int
    text: str


class Wrong(Exception):
    """Problems found below one node."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__()
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a mapping becomes a dataclass."""

    cls: type
    #: key in the file: (field of the dataclass, reader)
    keys: Mapping[str, tuple[str, Reader]]
    #: of the whole value: (key, what is wrong) for what no single key shows
    check: Callable[[Any], Iterable[tuple[str, str]]] | None = None

    def __call__(self, node: Node, name: str) -> Any:
        """Read a node as this shape."""
        return _build(self, node, name)


def shape(
    cls: type,
    check: Callable[[Any], Iterable[tuple[str, str]]] | None = None,
    /,
    **readers: Reader | tuple[str, Reader],
) -> Shape:
    """Return the shape of a dataclass: readers by key; (key, reader) where the key is not the field's name."""
    named_keys = {
        (reader[0] if isinstance(reader, tuple) else field): (field, reader[1] if isinstance(reader, tuple) else reader)
        for field, reader in readers.items()
    }
    return Shape(cls, named_keys, check)


def wrong(node: Node, name: str, message: str) -> Wrong:
    """Return the problem of one node."""
    return Wrong([Problem(node.start_mark.line + 1, f"{name}{_shown(node)}: {message}")])


def _shown(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        return ""
    value = node.value if len(node.value) <= _MAX_TEXT else node.value[: _MAX_TEXT - 1] + "…"
    return f"={value}" if value else "=''"


def _meant(word: str, names: Iterable[str]) -> str:
    options = list(names)
    close = difflib.get_close_matches(word.lower(), options, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(options)}"


def entries(node: Node, name: str, keys: Iterable[str]) -> tuple[dict[str, Node], list[Problem]]:
    """Return the values of a mapping by key, and what is wrong with its keys.

    Raises:
        Wrong: it is no mapping.
    """
    known = list(keys)
    if not isinstance(node, MappingNode):
        raise wrong(node, name or "the file", f"must be a mapping of {', '.join(known)}")
    found: dict[str, Node] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for key, value in node.value:
        word = str(key.value) if isinstance(key, ScalarNode) else "?"
        line = key.start_mark.line + 1
        label = below(name, word) + _shown(value)
        if word not in known:
            problems.append(Problem(line, f"{label}: unknown key; {_meant(word, known)}"))
        elif word in found:
            problems.append(Problem(line, f"{label}: the key is already on line {lines[word]}; remove one"))
        else:
            found[word], lines[word] = value, line
    return found, problems


def below(name: str, key: str) -> str:
    """Return the dotted name of a key of a mapping."""
    return f"{name}.{key}" if name else key


def _build(kind: Shape, node: Node, name: str) -> Any:
    found, problems = entries(node, name, kind.keys)
    values, more = read_all({key: (value, kind.keys[key][1]) for key, value in found.items()}, name)
    problems += more
    needed = {field.name for field in dataclasses.fields(kind.cls) if field.default is field.default_factory}
    problems.extend(
        Problem(node.start_mark.line + 1, f"{below(name, key)}: is missing")
        for key, (field, _) in kind.keys.items()
        if field in needed and key not in found
    )
    if problems:
        raise Wrong(problems)
    result = kind.cls(**{kind.keys[key][0]: value for key, value in values.items()})
    for key, message in kind.check(result) if kind.check else ():
        problems.extend(wrong(found.get(key, node), below(name, key), message).problems)
    if problems:
        raise Wrong(problems)
    return result


def read_all(nodes: Mapping[str, tuple[Node, Reader]], name: str) -> tuple[dict[str, Any], list[Problem]]:
    """Read every value, whatever the others turn out to be; return the values and the problems."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, (node, reader) in nodes.items():
        try:
            values[key] = reader(node, below(name, key))
        except Wrong as error:
            problems.extend(error.problems)
    return values, problems


def text(node: Node, name: str) -> str:
    """Read a text as it is written."""
    if not isinstance(node, ScalarNode):
        raise wrong(node, name, "must be one value, not a list or mapping")
    return str(node.value)


def flag(node: Node, name: str) -> bool:
    """Read true or false."""
    word = text(node, name).lower()
    if word not in {"true", "false", "yes", "no"}:
        raise wrong(node, name, "must be true or false")
    return word in {"true", "yes"}


def integer(*, least: int, most: int | None = None) -> Reader:
    """Return a reader of whole numbers within bounds."""

    def read(node: Node, name: str) -> int:
        word = text(node, name)
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", word):
            raise wrong(node, name, "must be a whole number")
        value = int(word)
        if value < least or (most is not None and value > most):
            raise wrong(
                node, name, f"must be from {least} to {most}" if most is not None else f"must be {least} or more"
            )
        return value

    return read


def one_of(*names: str) -> Reader:
    """Return a reader of one of these words."""

    def read(node: Node, name: str) -> str:
        word = text(node, name)
        if word not in names:
            raise wrong(node, name, f"must be one of {', '.join(names)}; {_meant(word, names)}")
        return word

    return read


def named(names: Mapping[str, T]) -> Reader:
    """Return a reader of one of these words, by which a value is meant."""
    word = one_of(*names)
    return lambda node, name: names[word(node, name)]


def list_of(reader: Reader, *, least: int = 0, single: bool = True) -> Reader:
    """Return a reader of a list without repetitions; with `single` one value alone is a list of one."""

    def read(node: Node, name: str) -> tuple[Any, ...]:
        if not isinstance(node, SequenceNode):
            if not single:
                raise wrong(node, name, "must be a list")
            return (reader(node, name),)
        values: list[Any] = []
        problems: list[Problem] = []
        for place, child in enumerate(node.value, start=1):
            try:
                value = reader(child, f"{name}[{place}]")
            except Wrong as error:
                problems.extend(error.problems)
            else:
                values.extend([value] if value not in values else [])
        if problems:
            raise Wrong(problems)
        if len(values) < least:
            raise wrong(node, name, f"must have {least} or more entries" if least > 1 else "must not be empty")
        return tuple(values)

    return read
