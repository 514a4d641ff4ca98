"""One row of a catalogue to a product: which columns count, and the text that is classified."""

from __future__ import annotations

import base64
import binascii
import math
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from raddle.workloads.classify.values import Picture, Product

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from raddle.workloads.classify.values import Mode

__all__ = ["Columns", "product_from_row", "value_of"]

#: label in the text, and the columns it may come from, best first; case, spaces, dashes and underscores do not matter
_PARTS: Final = (
    ("Name", ("productname", "name", "title", "producttitle", "itemname", "product", "item")),
    ("Type", ("type", "producttype", "itemtype")),
    ("Category", ("category", "productcategory", "categories")),
    ("Style", ("style", "styles")),
    ("Tags", ("tags", "tag", "keywords")),
)
_DESCRIPTION: Final = ("description", "productdescription", "summary")
#: an address of a page comes last: the picture is meant
_PICTURES: Final = (
    *("imageurl", "image", "imagelink", "pictureurl", "picture", "photourl", "photo", "img", "thumbnail", "icon"),
    *("producturl", "productlink"),
)
_NOTHING: Final = frozenset({"", "nan", "none", "null"})
#: longest value in the text, in characters: models read far less
_LONGEST: Final = 2000
_SPACE: Final = re.compile(r"\s+")
_IGNORED: Final = re.compile(r"[\s_\-]+")
#: languages that a column may name last, as in title_de; English first, which the model reads best. Not all there are:
#: item_no is a number and type_id no Indonesian
_LANGUAGES: Final = "en|bg|cs|da|de|el|es|et|fi|fr|hr|hu|it|ja|ko|lt|lv|nb|nl|pl|pt|ro|ru|sk|sl|sv|tr|uk|zh"
_SPOKEN: Final = re.compile(rf"(.+?)[\s_.\-]+({_LANGUAGES})(?:[_\-][a-z]{{2}})?", re.IGNORECASE)
_DATA: Final = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns that the user names; None: found by their names."""

    id: str | None = None
    name: str | None = None
    image: str | None = None


def product_from_row(
    row: Mapping[str, Any],
    *,
    id: str,  # noqa: A002 - the field's name
    mode: Mode = "text",
    columns: Columns = Columns(),
    folder: Path | None = None,
) -> Product:
    """Return the product that a row describes; what is not known is left out, unknown columns do not matter.

    Args:
        row: cells by column; texts, numbers or lists of them
        id: what it is called in the output
        mode: whether it is classified by text or by picture
        columns: columns that were named by the user
        folder: where relative paths of pictures begin; None: no files are read, pictures are addresses or data URLs
    """
    cells = _cells(row)
    parts = [
        (label, _first(cells, (columns.name,) if label == "Name" and columns.name else names))
        for label, names in _PARTS
    ]
    name = parts[0][1]
    parts.append(("Price", next((value for key, value in cells.items() if "price" in key), "")))
    if not any(value for label, value in parts if label != "Price"):
        parts.insert(0, ("Description", _first(cells, _DESCRIPTION)))
    text = " | ".join(f"{label}: {value[:_LONGEST]}" for label, value in parts if value)
    picture = None
    if mode == "image":
        given = value_of(row, columns.image) if columns.image else _first(cells, _PICTURES)
        picture = _picture(given, folder) if given else None
    return Product(id=id, name=name, text=text, picture=picture, mode=mode, fields=row)


def value_of(row: Mapping[str, Any], column: str) -> str:
    """Return a cell as text, "" if there is none; the column is found as `product_from_row` finds it."""
    plain = _plain(column)
    return next((text for key, value in row.items() if _plain(str(key)) == plain and (text := _text(value))), "")


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    """Values by plain column name; of columns alike the first that holds something, before those of a language."""
    cells: dict[str, str] = {}
    spoken = []
    for key, value in row.items():
        plain = _plain(str(key))
        if not cells.get(plain):
            cells[plain] = _text(value)
        if (place := _language(str(key))) is not None:
            spoken.append((place, key))
    for (_, plain), key in sorted(spoken, key=lambda one: one[0][0]):
        if not cells.get(plain):
            cells[plain] = _text(row[key])
    return cells


@lru_cache(1024)  # a catalogue of thousands of rows has the same few columns in each
def _plain(column: str) -> str:
    return _IGNORED.sub("", column).casefold()


@lru_cache(1024)
def _language(column: str) -> tuple[int, str] | None:
    """Return the place of the language that a column names, and the plain name of the column without it."""
    found = _SPOKEN.fullmatch(column.strip())
    return None if found is None else (_LANGUAGES.index(found[2].lower()), _plain(found[1]))


def _first(cells: Mapping[str, str], names: Iterable[str]) -> str:
    return next((cells[plain] for name in names if cells.get(plain := _plain(name))), "")


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, dict):
        return ""
    text = _SPACE.sub(" ", str(value)).strip()
    return "" if text.casefold() in _NOTHING else text


def _picture(given: str, folder: Path | None) -> Picture:
    if found := _DATA.match(given):
        try:
            return Picture(data=base64.b64decode(given[found.end() :], validate=True))
        except binascii.Error:
            return Picture(data=b"")  # decoding says that it is no picture
    if folder is None or given.lower().startswith(("http://", "https://")):
        return Picture(url=given)
    return Picture(path=os.path.join(folder, given))  # noqa: PTH118 - a cell of any content is no reason to fail here
