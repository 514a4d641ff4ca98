"""The command of `raddle exec`, with the replacement strings of GNU parallel."""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Template", "fill", "parse"]

_ENDING = re.compile(r"\.[^/.]+$")
_REPLACED = re.compile(r"\{(\.|/|//|/\.|#|)\}")


def _without_ending(item: str) -> str:
    return _ENDING.sub("", item)


def _base(item: str) -> str:
    return item.rpartition("/")[2]


_MEANING: dict[str, Callable[[str], str]] = {
    "": str,
    ".": _without_ending,
    "/": _base,
    "//": lambda item: posixpath.dirname(item) or ".",
    "/.": lambda item: _without_ending(_base(item)),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A command with places for the item."""

    words: tuple[str, ...]
    #: one text for /bin/sh, in which items are quoted; else words, and no shell
    shell: bool = False

    def argv(self, item: str, number: int) -> list[str]:
        """Return the program and its arguments for one item; `number` counts from 1."""
        if self.shell:
            return ["/bin/sh", "-c", " ".join(fill(word, item, number, quote=shlex.quote) for word in self.words)]
        return [fill(word, item, number) for word in self.words]

    def text(self, item: str, number: int) -> str:
        """Return the command as one would type it."""
        argv = self.argv(item, number)
        return argv[2] if self.shell else shlex.join(argv)

    @property
    def program(self) -> str | None:
        """What will be run, if it is the same for all items."""
        if self.shell:
            return "/bin/sh"
        return None if _REPLACED.search(self.words[0]) else self.words[0]


def parse(words: Sequence[str], *, shell: bool = False) -> Template:
    """Return the command that `words` say; without any replacement string the item comes last.

    Raises:
        ConfigError: there is no command
    """
    if not words or not any(word.strip() for word in words):
        raise ConfigError("COMMAND is missing: such as raddle exec -- gzip {}  (to run lines: raddle exec -- sh -c {})")
    if not any(map(_REPLACED.search, words)):
        words = [*words, "{}"]
    return Template(tuple(words), shell)


def fill(text: str, item: str, number: int, *, quote: Callable[[str], str] = str) -> str:
    """Put an item into a text; what the item itself holds is never replaced again."""

    def found(match: re.Match[str]) -> str:
        name = match[1]
        return str(number) if name == "#" else quote(_MEANING[name](item))

    return _REPLACED.sub(found, text)
