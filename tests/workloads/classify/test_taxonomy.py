"""Categories and styles: our file, other shops' files, and what answers mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle.errors import ConfigError
from raddle.workloads.classify.taxonomy import Category, Taxonomy, load_taxonomy
from raddle.workloads.classify.values import OTHER

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    *("SOFA", "CHAIR", "BED", "TABLE", "NIGHTSTAND", "STOOL", "STORAGE", "DESK", "BENCH", "OTTOMAN"),
    *("LIGHTING", "DECOR", "VASE", "TV_STAND", "PAINTINGS", "OTHER"),
)
STYLES = ("Modern", "Japandi", "Bohemian", "Scandinavian", "Rustic", "Shabby Chic", "Coastal")
SHOES = '[[category]]\nname = "Boots"\n[[category]]\nname = "Running shoe"\naliases = ["trainer", "sneaker"]\n'


def test_our_own_has_the_categories_and_styles_of_the_seed() -> None:
    own = load_taxonomy()
    assert own.names == NAMES
    assert tuple(style.name for style in own.styles) == STYLES
    assert all(one.definition and one.phrases and one.pictures is not None for one in own.categories)
    assert all(style.words and style.palette and style.tags and style.placements for style in own.styles)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("SOFA", "SOFA"),
        ("sofa", "SOFA"),
        (" Sofas ", "SOFA"),
        ("couches", "SOFA"),
        ("TV STAND", "TV_STAND"),
        ("tv-stands", "TV_STAND"),
        ("Tv_Stand", "TV_STAND"),
        ("Benches", "BENCH"),
        ("painting", "PAINTINGS"),
        ("Bookshelves", "STORAGE"),
        ("DÉCOR", "DECOR"),
        ("étagère", "STORAGE"),
        ("night stand", "NIGHTSTAND"),
        ("other", OTHER),
        ("spaceship", None),
        ("", None),
        ("-", None),
    ],
)
def test_what_an_answer_means(text: str, meant: str | None) -> None:
    assert load_taxonomy().category(text) == meant


@given(
    st.sampled_from(NAMES), st.sampled_from([" ", "_", "-", "  "]), st.sampled_from([str.lower, str.upper, str.title])
)
def test_a_name_is_itself_however_it_is_written(name: str, gap: str, case: object) -> None:
    assert callable(case)
    assert load_taxonomy().category(case(name.replace("_", gap))) == name


@given(st.text(max_size=40))
def test_any_text_means_one_of_the_names_or_nothing(text: str) -> None:
    assert load_taxonomy().category(text) in {*NAMES, None}


def test_an_alias_never_takes_the_name_of_another() -> None:
    both = Taxonomy((Category(name="DESK", aliases=("table",)), Category(name="TABLE")))
    assert both.category("tables") == "TABLE"


def test_a_shop_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "shoes.toml"
    file.write_text(SHOES)
    shoes = load_taxonomy(file)
    assert shoes.names == ("Boots", "Running shoe", OTHER)
    assert shoes.category("boot") == "Boots"
    assert shoes.category("Trainers") == "Running shoe"
    assert shoes.categories[1].phrases == ("running shoe", "trainer", "sneaker")
    assert shoes.categories[1].pictures is None
    assert shoes.styles == ()


def test_the_version_says_whether_it_is_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "one.toml", tmp_path / "two.toml"
    first.write_text(SHOES)
    second.write_text(f"# a remark changes nothing\n{SHOES}")
    assert load_taxonomy(first).version == load_taxonomy(second).version
    second.write_text(SHOES.replace("sneaker", "spikes"))
    assert load_taxonomy(first).version != load_taxonomy(second).version
    assert load_taxonomy().version == load_taxonomy().version


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no [[category]]"),
        ("[[category]]\n", "category[0].name is missing"),
        ('[[category]]\nname = " "\n', "category[0].name is missing"),
        ('[[category]]\nname = "!"\n', "name='!' has no letter"),
        ("[[category]]\nname = 3\n", "category[0].name=3 is not a text"),
        ('[[category]]\nname = "A"\nalias = ["b"]\n', "category[0].alias is not known: did you mean 'aliases'?"),
        ('[[category]]\nname = "A"\naliases = "b"\n', "category[0].aliases='b' is not a list"),
        ('[[category]]\nname = "A"\naliases = [""]\n', "category[0].aliases=[''] is not a list of texts"),
        ('[[category]]\nname = "A"\n[[category]]\nname = "a"\n', "name='a' means the same as 'A'"),
        ('[[categories]]\nname = "A"\n', "categories is not known: did you mean 'category'?"),
        ('[category]\nname = "A"\n', "category is not a list of tables: write [[category]]"),
        ('[[category]]\nname = "A"\n[[style]]\nwords = []\n', "style[0].name is missing"),
        ('[[category]]\nname = "A"\n[[style]]\nname = "x"\nzzz = 1\n', "style[0].zzz is not known: known are"),
        ("name = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_key_and_value(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(content)
    with pytest.raises(ConfigError) as refused:
        load_taxonomy(file)
    assert said in str(refused.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml.*cannot be read"):
        load_taxonomy(tmp_path / "missing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_taxonomy(tmp_path / "binary.toml")
