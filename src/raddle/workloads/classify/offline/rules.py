"""Keyword rules: which categories the words of a product name, and how clearly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raddle.workloads.classify.taxonomy import plain, singular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle.workloads.classify.taxonomy import Style, Taxonomy
    from raddle.workloads.classify.values import Product

__all__ = ["Keywords", "Reading", "read"]

_NAMES: Final = frozenset({"name", "product name", "title", "product", "product title", "query"})
_KINDS: Final = frozenset({"type", "product type", "category", "existing category", "class", "kind"})
_SKIP: Final = re.compile(r"price|cost|url|link|sku|width|depth|height|weight|stock|currency|placement|\bid\b")
#: what follows these words says more of the use than of the thing: a lamp FOR the desk
_CUT: Final = re.compile(
    r"\b(?:with|for|in|on|of|at|over|under|between|from|to|by|and|without|mit|für|aus|avec|pour|en|de)\b|[,;(/]"
)
#: how much a word says: as head of the phrase, inside it (the desk of "desk lamp"), after it ("lamp for the desk")
_HEAD, _INSIDE, _AFTER = 1.0, 0.3, 0.2
#: and how much the type and a tag say beside the name
_KIND, _TAG = 0.8, 0.4
_COUNTED: Final = re.compile(r"^(?:a |the )?(?:set|pair|lot|pack|box) of (?:\d+|two|three|four|five|six)?\s*")
_LONGEST_ALIAS: Final = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """A product's text, taken apart."""

    #: what it is called
    name: str
    #: type or category, as the shop says it
    kind: str = ""
    #: tags, style, description
    rest: str = ""


def read(product: Product) -> Reading:
    """Take "Label: value | Label: value" apart; text without labels is a name."""
    name, kind, rest = [product.name] if product.name else [], [], []
    for part in product.text.split(" | "):
        label, colon, value = part.partition(": ")
        known = plain(label)
        if not colon or known in _NAMES:
            name.append((value if colon else part).strip())
        elif known in _KINDS:
            kind.append(value.strip())
        elif not _SKIP.search(known):
            rest.append(value.strip())
    called = list(dict.fromkeys(one for one in name if one))
    # A name that was given twice over, once inside a longer text, is said once.
    best = max(called, key=len, default="") if any(one in two for one in called for two in called if one != two) else ""
    return Reading(name=best or " ".join(called), kind=", ".join(kind), rest=", ".join(one for one in rest if one))


class Keywords:
    """The words of a taxonomy, ready to be looked for."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._words: dict[str, str] = {}
        self._endings: dict[str, str] = {}
        self._styles = taxonomy.styles
        for one in taxonomy.categories:
            for alias in (*one.aliases, one.name):
                if alias.startswith("-"):
                    self._endings[plain(alias)] = one.name
                else:
                    self._words[singular(plain(alias))] = one.name

    def strengths(self, reading: Reading) -> dict[str, float]:
        """Return, for each category that is named, how clearly: 1.0 for the head of the name, less elsewhere."""
        found: dict[str, float] = {}
        for text, scale in ((reading.name, 1.0), *((one, _KIND) for one in reading.kind.split(",")), *_tags(reading)):
            for category, strength in self._hits(text):
                found[category] = max(found.get(category, 0.0), strength * scale)
        return found

    def styles(self, reading: Reading) -> list[tuple[Style, list[str]]]:
        """Return the styles whose words are in the text, with these words; the one with most first."""
        text = f" {plain(f'{reading.name} {reading.kind} {reading.rest}')} "
        hits = [(style, [word for word in style.words if f" {plain(word)} " in text]) for style in self._styles]
        return sorted((one for one in hits if one[1]), key=lambda one: -len(one[1]))

    def _hits(self, text: str) -> Iterator[tuple[str, float]]:
        """Yield (category, strength) for each thing that a phrase names; a longer alias hides those inside it."""
        text = _COUNTED.sub("", text.casefold())
        words = plain(text).split()
        head = len(plain(_CUT.split(text, maxsplit=1)[0]).split()) or len(words)
        end = len(words)
        while end > 0:
            for length in range(min(_LONGEST_ALIAS, end), 0, -1):
                category = self._meaning(" ".join(words[end - length : end]))
                if category:
                    yield category, _HEAD if end == head else _INSIDE if end < head else _AFTER
                    end -= length
                    break
            else:
                end -= 1

    def _meaning(self, words: str) -> str | None:
        known = self._words.get(words) or self._words.get(singular(words))
        if known or " " in words:
            return known
        ends = [ending for ending in self._endings if words.endswith(ending) or singular(words).endswith(ending)]
        return self._endings[max(ends, key=len)] if ends else None


def _tags(reading: Reading) -> list[tuple[str, float]]:
    return [(tag, _TAG) for tag in reading.rest.split(",")]
