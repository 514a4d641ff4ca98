"""The categories and styles that products are sorted into: from our file, or from a shop's own."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
import unicodedata
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from raddle.errors import ConfigError
from raddle.workloads.classify.values import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Category", "Style", "Taxonomy", "load_taxonomy", "plain", "singular"]

_NOT_WORDS: Final = re.compile(r"[\W_]+")
_REMEDY: Final = "see the comments at the top of raddle's own taxonomy.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One answer that may be given."""

    name: str
    #: one sentence
    definition: str = ""
    #: other words for it; one that begins with "-" matches the end of a word
    aliases: tuple[str, ...] = ()
    #: what the offline text model compares a product with
    phrases: tuple[str, ...] = ()
    #: ImageNet classes that show it; None: those that its name and aliases say
    pictures: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A look, and what tells it."""

    name: str
    #: words that give it away in a text
    words: tuple[str, ...] = ()
    palette: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    #: rooms it suits
    placements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taxonomy:
    """All categories, in order, `OTHER` among them."""

    categories: tuple[Category, ...]
    styles: tuple[Style, ...] = ()
    #: hex digest of the content
    version: str = field(default="")

    def __post_init__(self) -> None:
        _refuse_clashes(self.categories)
        if not any(one.name == OTHER for one in self.categories):
            object.__setattr__(self, "categories", (*self.categories, Category(name=OTHER)))
        object.__setattr__(self, "version", self.version or _digest(self))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all categories, in order."""
        return tuple(one.name for one in self.categories)

    def category(self, text: str) -> str | None:
        """Return the name that `text` means, or None.

        Case, accents, spaces, underscores and dashes do not matter, nor whether it is in the plural.
        """
        found = plain(text)
        return self._words.get(found) or self._words.get(singular(found))

    @cached_property
    def _words(self) -> dict[str, str]:
        # Names go in last, so that an alias can never take away the name of another category.
        words = {form: one.name for one in self.categories for alias in one.aliases for form in _forms(alias)}
        return words | {form: one.name for one in self.categories for form in _forms(one.name)}


def load_taxonomy(path: Path | str | None = None) -> Taxonomy:
    """Return the taxonomy of a TOML file, or raddle's own.

    Raises:
        ConfigError: the file cannot be read or does not hold a taxonomy; the message names key and value
    """
    if path is None:
        text, where = resources.files(__package__).joinpath("taxonomy.toml").read_text(encoding="utf-8"), "own"
    else:
        where = str(path)
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"taxonomy={where!r} cannot be read: {reason}") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"taxonomy={where!r} is not TOML: {error}") from error
    _only_keys(content, {"category", "style"}, "", where)
    categories = tuple(_category(one, key, where) for key, one in _tables(content, "category", where))
    if not categories:
        raise ConfigError(f"taxonomy={where!r} has no [[category]]: give at least one, each with a name; {_REMEDY}")
    styles = tuple(_style(one, key, where) for key, one in _tables(content, "style", where))
    return Taxonomy(categories, styles)


def plain(text: str) -> str:
    """Return `text` in lower case without accents, its words parted by single spaces."""
    split = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in split if not unicodedata.combining(char)).casefold()
    return " ".join(_NOT_WORDS.sub(" ", bare).split())


def singular(words: str) -> str:
    """Return plain `words` with the last one in the singular, as far as simple English rules tell."""
    for ending, instead in (("shelves", "shelf"), ("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x")):
        if words.endswith(ending) and len(words) > len(ending):
            return words.removesuffix(ending) + instead
    if words == "shelves":
        return "shelf"
    if words.endswith("s") and not words.endswith("ss") and len(words) > 3:  # noqa: PLR2004
        return words.removesuffix("s")
    return words


def _forms(alias: str) -> set[str]:
    """Return what an alias is found by; an end of a word ("-tisch") is for the rules, not for answers."""
    words = "" if alias.startswith("-") else plain(alias)
    return {words, singular(words)} - {""}


def _refuse_clashes(categories: tuple[Category, ...]) -> None:
    seen: dict[str, str] = {}
    for one in categories:
        words = plain(one.name)
        if not words:
            raise ConfigError(f"category name={one.name!r} has no letter or digit: give it a name")
        if words in seen:
            raise ConfigError(f"category name={one.name!r} means the same as {seen[words]!r}: keep one of them")
        seen[words] = one.name


def _digest(taxonomy: Taxonomy) -> str:
    content = [[asdict(one) for one in taxonomy.categories], [asdict(one) for one in taxonomy.styles]]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _tables(content: Mapping[str, Any], name: str, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    tables = content.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise ConfigError(f"taxonomy={where!r}: {name} is not a list of tables: write [[{name}]] above each")
    return ((f"{name}[{index}]", one) for index, one in enumerate(tables))


def _category(table: Mapping[str, Any], key: str, where: str) -> Category:
    _only_keys(table, {"name", "definition", "aliases", "phrases", "pictures"}, f"{key}.", where)
    name = _text(table, "name", key, where)
    if not name:
        raise ConfigError(f"taxonomy={where!r}: {key}.name is missing or empty: give the category a name")
    definition = _text(table, "definition", key, where)
    aliases = _texts(table, "aliases", key, where)
    spoken = plain(name)
    by_default = (spoken, *([definition] if definition else []), *(one for one in aliases if not one.startswith("-")))
    return Category(
        name=name,
        definition=definition,
        aliases=aliases,
        phrases=_texts(table, "phrases", key, where) or by_default,
        pictures=_texts(table, "pictures", key, where) if "pictures" in table else None,
    )


def _style(table: Mapping[str, Any], key: str, where: str) -> Style:
    lists = ("words", "palette", "tags", "placements")
    _only_keys(table, {"name", *lists}, f"{key}.", where)
    name = _text(table, "name", key, where)
    if not name:
        raise ConfigError(f"taxonomy={where!r}: {key}.name is missing or empty: give the style a name")
    words, palette, tags, placements = (_texts(table, one, key, where) for one in lists)
    return Style(name=name, words=words or (name.lower(),), palette=palette, tags=tags, placements=placements)


def _text(table: Mapping[str, Any], name: str, key: str, where: str) -> str:
    value = table.get(name, "")
    if not isinstance(value, str):
        raise ConfigError(f'taxonomy={where!r}: {key}.{name}={value!r} is not a text: put it in "quotes"')
    return value.strip()


def _texts(table: Mapping[str, Any], name: str, key: str, where: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise ConfigError(f'taxonomy={where!r}: {key}.{name}={value!r} is not a list of texts: write ["one", "two"]')
    return tuple(dict.fromkeys(one.strip() for one in value))


def _only_keys(table: Mapping[str, Any], known: set[str], prefix: str, where: str) -> None:
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
            raise ConfigError(f"taxonomy={where!r}: {prefix}{name} is not known: {hint}")
