"""The bytes of a sketch: the same for the same sketch, read back with suspicion."""

from __future__ import annotations

import dataclasses
import struct
import tracemalloc
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy")

from raddle.workloads.encrypt.sketch.container import MAGIC, from_bytes, to_bytes  # noqa: E402 - only with numpy
from raddle.workloads.encrypt.sketch.values import Sketch, SketchDamaged  # noqa: E402

HEAD = 60


def example(**changes: Any) -> Sketch:
    """Two contours: a circle of radius 20 with a bump, and a short line."""
    sketch = Sketch(
        width=100,
        height=80,
        points=np.array([64, 12]),
        contour=np.array([0, 0, 0, 1, 1]),
        k=np.array([0, 1, -3, 0, -6]),
        c=np.array([50 + 40j, 20, 1 - 2j, 7 + 7j, 0.5j], np.complex64),
        rmse=0.25,
        max_error=1.5,
        recall=0.96875,
        name="ex\N{LATIN SMALL LETTER A WITH DIAERESIS}mple.png",
        found=3,
        notes=("one", "two"),
    )
    return dataclasses.replace(sketch, **changes)


def signed(body: bytes) -> bytes:
    """With a digest that fits: what an attacker would do."""
    return body + blake2b(body, digest_size=16).digest()


def same(one: Sketch, other: Sketch) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(Sketch)
    )


def test_there_and_back() -> None:
    data = to_bytes(example())
    back = from_bytes(data)
    assert same(back, example())
    assert (back.c.dtype, back.k.dtype, back.name, back.notes) == (
        np.complex64,
        np.int64,
        example().name,
        ("one", "two"),
    )
    assert to_bytes(back) == data
    assert data.startswith(MAGIC)


def test_it_says_that_the_photo_is_not_in_it() -> None:
    assert b"the photo cannot be recovered from it" in to_bytes(example())


def test_an_empty_sketch() -> None:
    none = np.empty(0, np.int64)
    empty = example(points=none, contour=none, k=none, c=np.empty(0, np.complex64), found=0, recall=0.0)
    assert same(from_bytes(to_bytes(empty)), empty)


@pytest.mark.parametrize(("length", "each"), [(60_000, 10), (65_536, 10), (65_537, 12), (100_000, 12)])
def test_bytes_of_a_coefficient(length: int, each: int) -> None:
    count = 5000
    k = np.concatenate([[0, -(length // 2), (length - 1) // 2], np.arange(1, count - 2)])
    c = np.linspace(50, 1, count).astype(np.complex64)
    sketch = example(points=np.array([length]), contour=np.zeros(count, np.int64), k=k, c=c)
    data = to_bytes(sketch)
    assert len(data) < each * count + 400
    assert same(from_bytes(data), sketch)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_sketch(draw: st.DataObject) -> None:
    lengths = draw.draw(st.lists(st.integers(3, 50), max_size=5))
    dice = np.random.default_rng(draw.draw(st.integers(0, 2**32 - 1)))
    contour, k, c = [], [], []
    for i, length in enumerate(lengths):
        others = [f for f in range(-(length // 2), length - length // 2) if f]
        chosen = dice.permutation(others)[: dice.integers(1, len(others) + 1)]
        values = (dice.normal(size=len(chosen)) + 1j * dice.normal(size=len(chosen))).astype(np.complex64)
        power = values.real.astype(float) ** 2 + values.imag.astype(float) ** 2
        contour += [i] * (len(chosen) + 1)
        k += [0, *chosen]
        c += [3 + 4j, *values[np.argsort(-power, kind="stable")]]
    sketch = example(
        points=np.array(lengths, np.int64),
        contour=np.array(contour, np.int64),
        k=np.array(k, np.int64),
        c=np.array(c, np.complex64),
        found=len(lengths),
        name=draw.draw(st.text(max_size=30)),
        notes=tuple(draw.draw(st.lists(st.text(max_size=20), max_size=3))),
    )
    assert same(from_bytes(to_bytes(sketch)), sketch)


def test_every_truncation_and_every_added_byte() -> None:
    data = to_bytes(example())
    for length in range(len(data)):
        with pytest.raises(SketchDamaged):
            from_bytes(data[:length])
    with pytest.raises(SketchDamaged, match="added to"):
        from_bytes(data + b"\0")


def test_every_bit() -> None:
    data = to_bytes(example())
    for bit in range(8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SketchDamaged):
            from_bytes(bytes(bad))


def test_line_ends_translated() -> None:
    with pytest.raises(SketchDamaged, match="not a raddle sketch"):
        from_bytes(to_bytes(example()).replace(b"\r\n", b"\n"))


def test_a_sealed_one_gets_the_hint() -> None:
    with pytest.raises(SketchDamaged, match="was it sealed"):
        from_bytes(b"age-encryption.org/v1\n" + bytes(100))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "a picture of 0 x 80 px"),
        ({"width": 2**31, "height": 2**31}, "more than 178000000"),
        ({"rmse": float("nan")}, "figures of error"),
        ({"max_error": float("inf")}, "figures of error"),
        ({"rmse": -1.0}, "figures of error"),
        ({"recall": 1.5}, "figures of error"),
        ({"found": 1}, "2 contours drawn of 1 found"),
        ({"points": np.array([64, 1])}, "too many coefficients"),
        ({"points": np.array([64, 11])}, "frequency beyond"),
        ({"points": np.array([2**32 - 1, 12])}, "points are more than"),
        ({"points": np.array([64, 12, 12])}, "no or too many"),
        ({"points": np.array([64])}, "not there"),
        ({"contour": np.array([0, 1, 0, 1, 1])}, "contours out of order"),
        ({"contour": np.array([0, 0, 0, 1])}, "different lengths"),
        ({"k": np.array([0, 32, -3, 0, -6])}, "frequency beyond"),
        ({"k": np.array([2, 1, -3, 0, -6])}, "without its centre"),
        ({"k": np.array([0, 1, 1, 0, -6])}, "twice"),
        ({"c": np.array([50, 1, 20, 7, 0.5], np.complex64)}, "coefficients out of order"),
        ({"c": np.array([500, 20, 1, 7, 0.5], np.complex64)}, "wider than the picture"),
        ({"c": np.array([50, 20, np.nan, 7, 0.5], np.complex64)}, "no number"),
        ({"c": np.array([50, 20, np.inf, 7, 0.5], np.complex64)}, "no number"),
        ({"name": "x" * 70_000}, "shorten"),
    ],
)
def test_what_does_not_hold_together_is_not_written(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SketchDamaged, match=message):
        to_bytes(example(**changes))


def patched(at: int, value: bytes) -> bytes:
    body = bytearray(to_bytes(example())[:-16])
    body[at : at + len(value)] = value
    return signed(bytes(body))


def test_lies_with_a_fitting_digest() -> None:
    """Every field of four bytes, set to values that hurt: an error, and no memory beyond the file."""
    size = len(to_bytes(example())) - 16
    tracemalloc.start()
    try:
        refused = 0
        for at in range(size - 3):
            for value in (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1):
                try:
                    from_bytes(patched(at, struct.pack("<I", value)))
                except SketchDamaged:
                    refused += 1
        assert refused > size
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (8, b"\x02\x00", "version=2: this raddle reads version 1"),
        (10, b"\x08\x00", "flags=8"),
        (24, struct.pack("<I", 2**31), "cut off"),
        (28, struct.pack("<I", 2**32 - 1), "cut off"),
        (56, struct.pack("<I", 2**32 - 1), "meta data are more"),
        (HEAD, b"[", "not JSON"),
    ],
)
def test_head_lies(at: int, value: bytes, message: str) -> None:
    with pytest.raises(SketchDamaged, match=message):
        from_bytes(patched(at, value))


@pytest.mark.parametrize(
    "meta",
    [
        b"[]",
        b"null",
        b'{"name":1,"notes":[]}',
        b'{"name":"a","notes":"b"}',
        b'{"name":"a","notes":[1]}',
        b"\xff",
        b"{}",
    ],
)
def test_meta_lies(meta: bytes) -> None:
    good = to_bytes(example())
    (length,) = struct.unpack_from("<I", good, 56)
    body = good[:56] + struct.pack("<I", len(meta)) + meta + good[HEAD + length : -16]
    with pytest.raises(SketchDamaged, match=r"meta data|name|notes"):
        from_bytes(signed(body))
