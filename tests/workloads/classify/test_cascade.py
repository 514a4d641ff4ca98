"""Who is asked, and whose label counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import raddle
from raddle.errors import ConfigError
from raddle.workloads.classify.errors import PictureError, TransientError
from raddle.workloads.classify.upstream import Cascade
from raddle.workloads.classify.values import Label, Product


class Says:
    """A provider that says one thing."""

    def __init__(self, answer: Label | Exception) -> None:
        self.answer = answer
        self.asked = 0
        self.closed = False

    async def label(self, product: Product) -> Label:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def aclose(self) -> None:
        self.closed = True
        if isinstance(self.answer, PictureError):
            raise self.answer


def label(category: str, margin: float | None = None) -> Label:
    return Label(category=category, confidence=0.5, margin=margin)


def ask(first: Says, second: Says, **options: Any) -> Any:
    cascade = Cascade(first, second, **options)
    return asyncio.run(cascade.label(Product(id="1"))), cascade


@pytest.mark.parametrize(
    ("margin", "limit", "category"),
    [(0.3, 0.2, "BED"), (0.2, 0.2, "BED"), (0.19, 0.2, "SOFA"), (None, 0.0, "SOFA"), (0.0, 0.0, "BED")],
)
def test_the_margin_decides(margin: Any, limit: Any, category: Any) -> None:
    found, cascade = ask(Says(label("BED", margin)), Says(label("SOFA")), margin=limit)
    assert found.category == category
    assert (cascade.kept, cascade.passed_on) == ((1, 0) if category == "BED" else (0, 1))


@pytest.mark.parametrize("error", [TransientError("no"), raddle.Rejected()])
def test_a_failure_of_the_second_is_an_error_unless_asked(error: Any) -> None:
    with pytest.raises(type(error)):
        ask(Says(label("BED", 0.1)), Says(error), margin=0.2)
    found, _ = ask(Says(label("BED", 0.1)), Says(error), margin=0.2, if_second_fails="first")
    assert (found.category, found.flags) == ("BED", ("upstream_failed",))


def test_a_bug_is_no_failure_of_the_endpoint() -> None:
    with pytest.raises(ZeroDivisionError):
        ask(Says(label("BED")), Says(ZeroDivisionError()), margin=0.2, if_second_fails="first")


@pytest.mark.parametrize("options", [{"margin": -0.1}, {"margin": 2}, {"margin": 0.1, "if_second_fails": "never"}])
def test_what_cannot_work_is_refused(options: Any) -> None:
    with pytest.raises(ConfigError, match="must be"):
        Cascade(Says(label("BED")), Says(label("BED")), **options)


def test_both_are_closed_whatever_the_first_does() -> None:
    first, second = Says(PictureError("no")), Says(label("BED"))
    with pytest.raises(PictureError):
        asyncio.run(Cascade(first, second, margin=0.1).aclose())
    assert second.closed
