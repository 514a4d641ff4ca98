"""Rows of all shapes to products, and inputs of all shapes to rows."""

from __future__ import annotations

import base64
import csv
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle.errors import ConfigError
from raddle.workloads.classify.batch.inputs import Catalogue, Entry
from raddle.workloads.classify.batch.rows import Columns, product_from_row
from raddle.workloads.classify.values import Picture

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("row", "text", "name"),
    [
        ({"Product Name": "Oslo", "Type": "Sofa"}, "Name: Oslo | Type: Sofa", "Oslo"),
        ({"product_name": "Oslo", "STYLE": ["Modern", "Rustic"]}, "Name: Oslo | Style: Modern, Rustic", "Oslo"),
        ({"title": "Oslo", "tags": "a, b", "category": "Seats"}, "Name: Oslo | Category: Seats | Tags: a, b", "Oslo"),
        ({"name": "Oslo", "price_range_usd": 199.0}, "Name: Oslo | Price: 199.0", "Oslo"),
        ({"Sale-Price": "9", "Name": "Oslo", "price": "8"}, "Name: Oslo | Price: 9", "Oslo"),
        ({"name": None, "title": "Oslo"}, "Name: Oslo", "Oslo"),
        ({"name": math.nan, "type": "nan", "tags": ["", None, "x"]}, "Tags: x", ""),
        ({"name": "  Corner \n sofa\t"}, "Name: Corner sofa", "Corner sofa"),
        ({"NAME": "", "name": "Oslo"}, "Name: Oslo", "Oslo"),
        ({"description": "Seats three."}, "Description: Seats three.", ""),
        ({"name": "Oslo", "description": "Seats three."}, "Name: Oslo", "Oslo"),
        ({"description": "Seats three.", "price": 3}, "Description: Seats three. | Price: 3", ""),
        ({"name": "Oslo", "tags": {"a": 1}, "unknown": "x"}, "Name: Oslo", "Oslo"),
        ({"name": 5}, "Name: 5", "5"),
        ({"name_de": "Stuhl", "name_en": "Chair"}, "Name: Chair", "Chair"),
        ({"Title DE-at": "Stuhl", "tags.fr": "bois"}, "Name: Stuhl | Tags: bois", "Stuhl"),
        ({"name_en": "Chair", "NAME": "Oslo"}, "Name: Oslo", "Oslo"),
        ({"name_de": "Stuhl", "name": ""}, "Name: Stuhl", "Stuhl"),
        ({"name_en": "", "name_de": "Stuhl", "title": "Oslo"}, "Name: Stuhl", "Stuhl"),
        ({"item_no": 7, "type_id": 9, "namede": "x", "_de": "y"}, "", ""),
        ({}, "", ""),
    ],
)
def test_text(row: dict[str, Any], text: str, name: str) -> None:
    product = product_from_row(row, id="7")
    assert (product.text, product.name, product.id, product.mode) == (text, name, "7", "text")
    assert product.picture is None
    assert product.fields == row


def test_a_huge_cell_is_shortened_in_the_text_only() -> None:
    product = product_from_row({"name": "x" * 5000}, id="1")
    assert len(product.text) < 2100
    assert len(product.name) == 5000


def test_named_columns() -> None:
    row = {"Produkt": "Oslo", "name": "other", "Bild": "a.png"}
    product = product_from_row(row, id="1", mode="image", columns=Columns(name="produkt", image="BILD"))
    assert product.name == "Oslo"
    assert product.picture == Picture(url="a.png")  # without a folder no file is named, and fetching says why


@pytest.mark.parametrize(
    ("row", "picture"),
    [
        ({"image_url": "http://a/1.png", "product_url": "http://a/"}, Picture(url="http://a/1.png")),
        ({"Product URL": "HTTPS://a/1.png"}, Picture(url="HTTPS://a/1.png")),
        ({"Product_URL": "http://a/1.png", "image_url": None}, Picture(url="http://a/1.png")),
        ({"icon": "icons/a.png"}, Picture(path="/shop/icons/a.png")),
        ({"image": "/else/a.png"}, Picture(path="/else/a.png")),
        ({"image": "data:image/png;base64," + base64.b64encode(b"abc").decode()}, Picture(data=b"abc")),
        ({"image": "data:image/png;base64,%%%"}, Picture(data=b"")),
        ({"name": "Oslo"}, None),
    ],
)
def test_picture(row: dict[str, Any], picture: Picture | None, tmp_path: Path) -> None:
    folder = type(tmp_path)("/shop")
    assert product_from_row(row, id="1", mode="image", folder=folder).picture == picture


@given(
    st.dictionaries(
        st.text(max_size=12), st.none() | st.floats() | st.text(max_size=20) | st.lists(st.text()), max_size=6
    )
)
def test_any_row_is_a_product(row: dict[str, Any]) -> None:
    for mode in ("text", "image"):
        assert product_from_row(row, id="1", mode=mode).text == product_from_row(row, id="1").text  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------------------- inputs


def entries(path: Path, content: str | bytes, **options: Any) -> list[Entry]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(Catalogue(path=path, **options))


def texts(found: list[Entry]) -> list[str]:
    return [entry.product.text if entry.product else entry.error for entry in found]


@pytest.mark.parametrize(
    "content",
    [
        "id,name\n1,Sofa\n2,Chair\n",
        "\ufeffid,name\r\n1,Sofa\r\n2,Chair",
        "id;name\n1;Sofa\n2;Chair\n",
        "id\tname\n1\tSofa\n\n2\tChair\n",
        'id|"name"\n1|Sofa\n2|Chair\n',
        'id;"name, or a, b, c"\n1;Sofa\n2;Chair\n',
        "id,name\n1,Sofa\n2,Chair\n".encode("utf-16"),
        "\n  \r\nid,name\n1,Sofa\n2,Chair\n",
        "sep=;\r\nid;name\r\n1;Sofa\r\n2;Chair\r\n",
        '\ufeff"sep=\t"\nid\tname\n1\tSofa\n2\tChair\n',
        b"id,name\r1,Sofa\r2,Chair\r",
        "\nsep=|\nid|name\n1|Sofa\n2|Chair\n".encode("utf-16"),
    ],
)
def test_csv_of_many_kinds(tmp_path: Path, content: str | bytes) -> None:
    found = entries(
        tmp_path / "a.csv", content, columns=Columns(name="name, or a, b, c" if b"or a" in _b(content) else None)
    )
    assert [entry.id for entry in found] == ["1", "2"]
    assert texts(found) == ["Name: Sofa", "Name: Chair"]


def _b(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def test_rows_that_are_none(tmp_path: Path) -> None:
    content = (
        b'id,name\n1,Sofa\n2,Chair,more\n3\n4,\xff\xfe\n5,\n6,"two\nlines"\n7,' + b"x" * (17 * 2**20) + b"\n8,Bed\n"
    )
    found = entries(tmp_path / "a.csv", content)
    assert [entry.id for entry in found] == ["1", "2", "3", "4", "5", "6", "6", "8"]
    said = texts(found)
    assert said[0] == "Name: Sofa"
    assert said[1] == "line 3: 3 cells, and 2 columns"
    assert said[2] == "line 4: 1 cells, and 2 columns"
    assert "--encoding" in said[3]
    assert "nothing to classify" in said[4]
    assert said[5] == "Name: two lines"
    assert "longer than" in said[6]
    assert said[7] == "Name: Bed"
    json.dumps([entry.id for entry in found])


def test_a_quotation_mark_that_is_not_closed_swallows_nothing_in_silence(tmp_path: Path) -> None:
    found = entries(tmp_path / "a.csv", '\nid,name\n1,"a ""big""\nSofa"\n2,"Lamp\n3,Bed\n4,Desk\n')
    assert texts(found) == [
        'Name: a "big" Sofa',
        "line 5: a quotation mark is not closed: all lines from here to the end are in one cell",
    ]
    assert found[1].id == "2"


def test_another_encoding(tmp_path: Path) -> None:
    content = "name\nKüchenstuhl\n".encode("cp1252")
    assert texts(entries(tmp_path / "a.csv", content, encoding="cp1252")) == ["Name: Küchenstuhl"]


def test_reading_leaves_the_interpreters_limit_alone(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "a.csv"
    path.write_text("name\nSofa\nChair\n")
    for _ in Catalogue(path=path):
        assert csv.field_size_limit() == before


def test_ids(tmp_path: Path) -> None:
    found = entries(tmp_path / "a.csv", "sku,name\na,Sofa\na,Sofa\n,Bed\nb,Desk\n", columns=Columns(id="SKU"))
    assert [entry.id for entry in found] == ["a", "a", "2", "b"]
    assert [entry.duplicate for entry in found] == [False, True, False, False]
    assert [entry.product.id for entry in found if entry.product] == ["a", "a#2", "2", "b"]
    assert len({entry.key for entry in found}) == 4


def test_the_key_of_a_row_stays_when_others_come(tmp_path: Path) -> None:
    before = entries(tmp_path / "a.csv", "id,name\n1,Sofa\n2,Bed\n")
    after = entries(tmp_path / "b.csv", "id,name\n0,Desk\n1,Sofa\n2,Bunk bed\n")
    assert after[1].key == before[0].key
    assert after[2].key != before[1].key


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        *(
            '\ufeff{"id": 1, "name": "Sofa", "price": NaN}',
            "",
            "[1]",
            "{",
            "[" * 100_000,
            '{"name": "' + "x" * 100 + '"}',
        ),
        '{"id": "z", "tags": ["a", "b"]}',
    ]
    found = entries(tmp_path / "a.jsonl", "\n".join(lines))
    said = texts(found)
    assert said[0] == "Name: Sofa"
    assert "object is needed, not list" in said[1]
    assert "line 4: not JSON" in said[2]
    assert "line 5: not JSON" in said[3]
    assert said[5] == "Tags: a, b"
    assert [entry.id for entry in found] == ["1", "1", "2", "3", "4", "z"]


def test_a_json_line_without_end(tmp_path: Path) -> None:
    found = entries(tmp_path / "a.jsonl", b'{"name": "' + b"x" * (40 * 2**20) + b'"}\n{"name": "Bed"}')
    assert "longer than" in texts(found)[0]
    assert texts(found)[1] == "Name: Bed"


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/2.jpg", "a/1.webp", "notes.txt", "a/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = list(Catalogue(path=tmp_path))
    assert [entry.id for entry in found] == ["a/1.webp", "a/2.jpg", "b.PNG"]
    assert {entry.product.mode for entry in found if entry.product} == {"image"}
    first = found[0].product
    assert first is not None
    assert first.picture == Picture(path=str(tmp_path / "a/1.webp"))
    assert [entry.product.mode for entry in Catalogue(path=tmp_path, mode="text") if entry.product] == ["text"] * 3


def test_the_first_rows_only(tmp_path: Path) -> None:
    assert len(entries(tmp_path / "a.csv", "name\n" + "Sofa\n" * 50, limit=7)) == 7


@pytest.mark.parametrize(
    ("name", "content", "options", "hint"),
    [
        ("a.csv", "", {}, "is empty"),
        ("a.csv", "name\nSofa\n", {"columns": Columns(image="Bild")}, "--image-column='Bild'.*there are name"),
        ("a.csv", "1,Grey sofa\n2,Lamp\n", {}, "no column of texts.*there are 1, Grey sofa.*--name-column.*first line"),
        ("a.csv", "name\nSofa\n", {"mode": "image"}, "no column of pictures.*there are name.*--image-column"),
        ("a.csv", 'id,"name\n1,Sofa\n', {}, "line 1: a quotation mark is not closed"),
        ("a.csv", "name\nSofa\n", {"encoding": "klingon"}, "encoding='klingon' is not known"),
        ("a.xlsx", "PK", {}, "ends with none of .csv"),
    ],
)
def test_inputs_that_cannot_be_used(tmp_path: Path, name: str, content: str, options: Any, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        entries(tmp_path / name, content, **options)


def test_an_input_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        Catalogue(path=tmp_path / "gone.csv")


def test_the_furniture_catalogue(data: Path) -> None:
    path = data / "furniture/furniture.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    found = list(Catalogue(path=path, mode="image"))
    assert len(found) == 397
    first = found[0].product
    assert first is not None
    assert first.text == "Name: Corner sofa | Category: Living room | Tags: Blend Swap, Couch, Seat"
    pictures = [entry.product.picture for entry in found if entry.product]
    assert all(picture and (path.parent / str(picture.path)).is_file() for picture in pictures)
