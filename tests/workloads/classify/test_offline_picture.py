"""Image mode without a key: reading weights and pictures, the graph, its cache, and labels."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from raddle.errors import ConfigError
from raddle.workloads.classify.errors import NoPicture, PictureError
from raddle.workloads.classify.offline import Offline, efficientnet
from raddle.workloads.classify.offline.imagenet import CLASS_NAMES
from raddle.workloads.classify.offline.models import Models
from raddle.workloads.classify.offline.onnx_file import Graph, varint
from raddle.workloads.classify.offline.pictures import _read_head, class_table
from raddle.workloads.classify.offline.pixels import pixels
from raddle.workloads.classify.offline.sessions import open_session
from raddle.workloads.classify.offline.weights_file import read_state_dict
from raddle.workloads.classify.taxonomy import Category, Taxonomy, load_taxonomy
from raddle.workloads.classify.values import Picture, Product


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(load_taxonomy())


def png(width: int = 64, height: int = 64, mode: str = "RGB", color: Any = "white") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def seen(data: bytes, id_: str = "0") -> Product:
    return Product(id=id_, mode="image", picture=Picture(data=data))


# ------------------------------------------------------------------------------------------------------- pictures


def test_pixels_are_what_the_model_was_trained_on() -> None:
    white, black = pixels(png()), pixels(png(color="black"))
    assert white.shape == (3, 224, 224)
    assert white.dtype == np.float32
    assert np.allclose(white, (255 - 127) / 128)
    assert np.allclose(black, -127 / 128)


def test_transparency_becomes_white_and_the_thing_fills_the_picture() -> None:
    picture = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle((10, 40, 49, 59), fill=(255, 0, 0, 255))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    found = pixels(buffer.getvalue())
    assert np.allclose(found[:, 0, 0], 1.0)
    red = (found[0] > 0.9) & (found[1] < -0.9)
    height, width = np.ptp(np.nonzero(red.any(axis=1))[0]) + 1, np.ptp(np.nonzero(red.any(axis=0))[0]) + 1
    assert 185 <= width <= 200
    assert 1.8 <= width / height <= 2.2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_pixel_is_read(mode: str) -> None:
    assert np.isfinite(pixels(png(mode=mode, color=None))).all()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no picture"),
        (b"<html>", "no picture"),
        (png()[:60], "broken|no picture"),
        (png(400, 400)[:-40], "broken"),
        (png(8000, 8000, "1"), "size=8000x8000"),
        (png(20000, 20000, "1"), "50000000 pixels"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(PictureError, match=said):
        pixels(data)


@given(st.binary(max_size=80), st.integers(0, 200))
def test_damage_is_a_picture_error_or_harmless(noise: bytes, at: int) -> None:
    whole = png(32, 32)
    try:
        found = pixels(whole[:at] + noise + whole[at + len(noise) :])
    except PictureError:
        return
    assert found.shape == (3, 224, 224)


# -------------------------------------------------------------------------------------------------------- weights


def torch_file(tmp_path: Path, dict_pickle: bytes, storages: dict[str, np.ndarray]) -> Path:
    file = tmp_path / "weights.pth"
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    tail = pickle.dumps(list(storages), 2)
    data = b"".join(struct.pack("<q", values.size) + values.tobytes() for values in storages.values())
    file.write_bytes(head + dict_pickle + tail + data)
    return file


def dict_pickle(*, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], call: bytes = b"") -> bytes:
    """Protocol 2 by hand, since the names in it are not importable here."""
    call = call or b"ctorch._utils\n_rebuild_tensor_v2\n"
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00aX\x03\x00\x00\x00cpuK\x06Nt"

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", one) for one in values) + b"t"

    arguments = b"(" + storage + b"Q" + numbers((offset,))[1:-1] + numbers(shape) + numbers(strides) + b"\x89Nt"
    return b"\x80\x02}X\x01\x00\x00\x00w" + call + arguments + b"Rs."


SIX = {"a": np.arange(6, dtype="<f4")}


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "values"),
    [
        (0, (2, 3), (3, 1), [[0, 1, 2], [3, 4, 5]]),
        (0, (3, 2), (1, 3), [[0, 3], [1, 4], [2, 5]]),
        (2, (2,), (2,), [2, 4]),
        (5, (), (), 5),
    ],
)
def test_strides_and_offsets_are_honoured(tmp_path: Path, offset: int, shape: Any, strides: Any, values: Any) -> None:
    found = read_state_dict(torch_file(tmp_path, dict_pickle(offset=offset, shape=shape, strides=strides), SIX))
    assert found["w"].tolist() == values
    assert found["w"].flags.c_contiguous


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (4, (3,), (1,)), (0, (2,), (-1,)), (0, (2, 2), (6, 1)), (-1, (1,), (1,))],
)
def test_nothing_outside_a_storage_is_read(tmp_path: Path, offset: int, shape: Any, strides: Any) -> None:
    file = torch_file(tmp_path, dict_pickle(offset=offset, shape=shape, strides=strides), SIX)
    with pytest.raises(ConfigError, match="does not fit"):
        read_state_dict(file)


@pytest.mark.parametrize(
    "name", [b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nload\n", b"ctorch._utils\n_rebuild_qtensor\n"]
)
def test_a_pickle_may_name_nothing_else(tmp_path: Path, name: bytes) -> None:
    file = torch_file(tmp_path, dict_pickle(offset=0, shape=(1,), strides=(1,), call=name), SIX)
    with pytest.raises(ConfigError, match="is not part of a tensor"):
        read_state_dict(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", pickle.dumps(OrderedDict())])
def test_another_file_is_no_weights(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"weights='weights\.pth' cannot be read"):
        read_state_dict(file)


# ---------------------------------------------------------------------------------------------------------- graph


@given(st.integers(0, 2**40))
def test_varint_can_be_read_back(value: int) -> None:
    data = varint(value)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data)) == value
    assert [byte >> 7 for byte in data] == [1] * (len(data) - 1) + [0]


def test_a_small_graph_computes() -> None:
    graph = Graph()
    factor = graph.tensor(np.array([[1, 2], [3, 4]], np.float32))
    low, high = graph.tensor(np.array(0, np.float32)), graph.tensor(np.array(6, np.float32))
    product = graph.node("Gemm", ["x", factor], {"transB": 1})
    graph.node("Clip", [product, low, high], output="y")
    session = open_session(graph.model({"x": ["n", 2]}, {"y": ["n", 2]}))
    found = session.run(None, {"x": np.array([[1, 1], [-1, 0]], np.float32)})[0]
    assert found.tolist() == [[3, 6], [0, 0]]


def test_same_padding_puts_more_at_the_end() -> None:
    graph = Graph()
    kernel = graph.tensor(np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3))
    attributes = {"auto_pad": "SAME_UPPER", "group": 1, "kernel_shape": (3, 3), "strides": (2, 2)}
    graph.node("Conv", ["x", kernel], attributes, output="y")
    session = open_session(graph.model({"x": [1, 1, 4, 4]}, {"y": [1, 1, 2, 2]}))
    found = session.run(None, {"x": np.ones((1, 1, 4, 4), np.float32)})[0]
    assert found[0, 0].tolist() == [[36, 21], [15, 8]]  # by hand: the last row and column of the kernel fall outside


@pytest.mark.parametrize("cache", ["written", "damaged", "a file", "read-only"])
def test_the_graph_is_kept_if_it_can_be(tmp_path: Path, cache: str) -> None:
    """In a process of its own, since the folder is named by the environment."""
    folder = tmp_path / "cache"
    kept = folder / "raddle" / f"efficientnet-lite0-{efficientnet.GRAPH_SHA256[:16]}.onnx"
    if cache == "damaged":
        kept.parent.mkdir(parents=True)
        kept.write_bytes(b"half")
    elif cache == "a file":
        folder.write_text("")
    elif cache == "read-only":
        folder = Path("/proc/raddle")  # nobody may write there, not even root
    program = (
        "from raddle.workloads.classify.offline import efficientnet\n"
        "print([one.name for one in efficientnet.load().get_outputs()])"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stdout.strip() == "['features', 'scores']"
    if cache in {"written", "damaged"}:
        assert hashlib.sha256(kept.read_bytes()).hexdigest() == efficientnet.GRAPH_SHA256
        assert [one.name for one in kept.parent.iterdir()] == [kept.name]


@pytest.mark.parametrize(("name", "meant"), [("coffee", 967), ("chelsea", 285), ("camera", 872)])
def test_imagenet_knows_familiar_pictures(data: Path, name: str, meant: int) -> None:
    """Espresso, Egyptian cat, tripod."""
    file = next((data / "images" / "good").glob(f"{name}.*"))
    scores = efficientnet.load().run(["scores"], {"image": pixels(file.read_bytes())[None]})[0][0]
    assert meant in np.argsort(-scores)[:3]


# --------------------------------------------------------------------------------------------------------- labels


def test_our_table_names_classes_that_exist() -> None:
    table = class_table(load_taxonomy())
    numbers = [number for own in table.values() for number in own]
    assert len(numbers) == len(set(numbers))
    assert {"SOFA", "CHAIR", "BED", "TABLE", "STORAGE", "DESK", "LIGHTING", "VASE"} <= set(table)
    assert len(set(CLASS_NAMES.values())) == len(CLASS_NAMES)


def test_a_class_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match="pictures='dinning table' of Tables"):
        class_table(Taxonomy((Category(name="Tables", pictures=("dinning table",)),)))


def test_a_shop_whose_names_are_classes_needs_no_table() -> None:
    shop = Taxonomy(
        (Category(name="Teapots"), Category(name="Pianos", aliases=("grand piano",)), Category(name="Shoes"))
    )
    assert class_table(shop) == {"Teapots": (849,), "Pianos": (579,)}


def test_a_shop_that_no_class_shows_is_told_what_to_do() -> None:
    shop = Models(Taxonomy((Category(name="Guitar strings"),)))
    with pytest.raises(ConfigError, match="--mode text"):
        shop.labels([seen(png())])


def test_a_picture_gets_a_label(models: Models) -> None:
    (label,) = models.labels([seen(png())])
    assert label.category in load_taxonomy().names
    assert label.provider == "efficientnet"
    assert 0 <= label.confidence <= 1
    assert label.margin is not None
    assert 0 <= label.margin <= 1
    assert label.reasoning


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        (None, NoPicture),
        (Picture(data=b"no"), PictureError),
        (Picture(path="/nowhere/at/all.png"), PictureError),
        (Picture(url="https://shop.example/a.png"), PictureError),
    ],
)
def test_a_broken_picture_is_its_own_products_error(
    models: Models, picture: Picture | None, error: type[Exception]
) -> None:
    broken = Product(id="b", mode="image", picture=picture)
    text = Product(id="t", text="sofa")
    first, second, third = models.outcomes([seen(png()), broken, text])
    assert isinstance(second, error)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    assert third.category == "SOFA"
    with pytest.raises(error):
        models.labels([broken])


def test_the_provider_fetches_on_its_threads() -> None:
    asked: list[Picture] = []

    def load(picture: Picture) -> bytes:
        asked.append(picture)
        if picture.url == "https://shop.example/bad":
            raise PictureError("it is gone")
        return png()

    async def label_all() -> list[Any]:
        provider = Offline(load_taxonomy(), workers=2, load=load)
        urls = ["https://shop.example/a", "https://shop.example/bad", "https://shop.example/c"]
        products = [Product(id=url, mode="image", picture=Picture(url=url)) for url in urls]
        try:
            return await asyncio.gather(*map(provider.label, products), return_exceptions=True)
        finally:
            await provider.aclose()

    first, second, third = asyncio.run(label_all())
    assert first == third
    assert isinstance(second, PictureError)
    assert len(asked) == 3


def test_the_drawn_head_serves_our_taxonomy_and_no_shop_of_another_kind() -> None:
    own = _read_head(load_taxonomy())
    assert own is not None
    shares = own.shares(np.ones(efficientnet.FEATURES, np.float32))
    assert shares.shape == (16,)
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    assert _read_head(Taxonomy((Category(name="Teapots"), Category(name="Chair"), Category(name="Sofas")))) is None


def test_the_head_follows_the_order_of_the_taxonomy() -> None:
    ours = load_taxonomy()
    own, turned = _read_head(ours), _read_head(Taxonomy(tuple(reversed(ours.categories))))
    features = np.linspace(0, 1, efficientnet.FEATURES, dtype=np.float32)
    assert own is not None
    assert turned is not None
    assert np.allclose(own.shares(features), turned.shares(features)[::-1])
