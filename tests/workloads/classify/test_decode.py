"""Hostile and odd pictures to small JPEGs."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raddle.workloads.classify.errors import NoPicture, PictureError
from raddle.workloads.classify.pictures import Loader, decode, read
from raddle.workloads.classify.pictures.pictured import Pictured
from raddle.workloads.classify.values import Label, Picture, Product

if TYPE_CHECKING:
    from pathlib import Path

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def opened(data: bytes, **options: Any) -> Image.Image:
    image = Image.open(io.BytesIO(decode(data, **options)))
    assert image.format == "JPEG"
    assert image.mode == "RGB"
    return image


def near(image: Image.Image, at: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    found = image.getpixel(at)
    assert isinstance(found, tuple)
    return all(abs(a - b) < 40 for a, b in zip(found, colour, strict=True))


def halves(size: tuple[int, int] = (64, 32)) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, size[0], size[1]))
    return image


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_kinds_that_are_read(form: str) -> None:
    image = opened(saved(halves(), form))
    assert image.size == (64, 32)
    assert near(image, (8, 16), RED)
    assert near(image, (56, 16), BLUE)


@pytest.mark.parametrize(
    ("size", "side", "result"),
    [((2000, 1000), 512, (512, 256)), ((300, 1200), 512, (128, 512)), ((5, 3), 512, (5, 3)), ((4000, 1), 64, (64, 1))],
)
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_size(size: tuple[int, int], side: int, result: tuple[int, int], form: str) -> None:
    assert opened(saved(Image.new("RGB", size), form), side=side).size == result


@pytest.mark.parametrize(
    ("orientation", "red", "blue"),
    [
        (1, (8, 16), (56, 16)),
        (2, (56, 16), (8, 16)),
        (3, (56, 16), (8, 16)),
        (4, (8, 16), (56, 16)),
        (5, (16, 8), (16, 56)),
        (6, (16, 8), (16, 56)),
        (7, (16, 56), (16, 8)),
        (8, (16, 56), (16, 8)),
        (99, (8, 16), (56, 16)),
    ],
)
def test_orientation(orientation: int, red: tuple[int, int], blue: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = opened(saved(halves(), "JPEG", exif=exif.tobytes(), quality=95, subsampling=0))
    assert near(image, red, RED)
    assert near(image, blue, BLUE)


@pytest.mark.filterwarnings("ignore:.*EXIF")
def test_a_broken_exif_block_does_not_spoil_a_picture() -> None:
    assert opened(saved(halves(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")).size == (64, 32)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_what_is_transparent_is_white(mode: str) -> None:
    if mode == "P":
        image = Image.new("P", (32, 32), 0)
        image.putpalette([*(0, 0, 0), *RED])
        data = saved(image, transparency=0)
    elif mode in {"RGB", "L"}:
        data = saved(Image.new(mode, (32, 32), 0), transparency=0 if mode == "L" else (0, 0, 0))
    else:
        data = saved(Image.new(mode, (32, 32), (0, 0, 0, 0) if mode == "RGBA" else (0, 0)))
    assert near(opened(data), (16, 16), WHITE)


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (GREEN, RED, BLUE)]
    for form in ("GIF", "WEBP", "PNG"):
        assert near(opened(saved(frames[0], form, save_all=True, append_images=frames[1:])), (8, 8), GREEN)


def test_colours_of_print_and_many_bits() -> None:
    assert near(opened(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")), (8, 8), RED)
    assert near(opened(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF")), (8, 8), RED)
    assert near(opened(saved(Image.new("1", (16, 16), 1))), (8, 8), WHITE)
    deep = Image.frombytes("I;16", (2, 1), struct.pack("<HH", 0x8000, 0x1000)).resize(
        (32, 16), Image.Resampling.NEAREST
    )
    image = opened(saved(deep))
    assert near(image, (4, 8), (128, 128, 128))
    assert near(image, (28, 8), (16, 16, 16))
    wide = Image.new("F", (16, 16), 3.5)
    assert opened(saved(wide, "TIFF")).size == (16, 16)
    assert opened(saved(Image.new("I", (16, 16), 70_000), "TIFF")).size == (16, 16)


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is so large; it breaks off after the first few rows."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 6_000), (10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_bombs(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match="pixels"):
        decode(bomb(*size))


def test_a_large_picture_within_the_limit() -> None:
    assert opened(saved(Image.new("L", (5000, 3000)), "JPEG")).size == (512, 307)
    with pytest.raises(PictureError, match="max_pixels=1,000"):
        decode(saved(Image.new("L", (50, 50))), max_pixels=1000)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\0", b"<html><body>not here</body></html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        *(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF"),
    ],
)
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(PictureError):
        decode(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_picture_that_breaks_off(form: str, share: float) -> None:
    noise = Image.effect_noise((200, 200), 100).convert("RGB")
    whole = saved(noise, form)
    with pytest.raises(PictureError):
        decode(whole[: int(len(whole) * share)])


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says what it thinks of them
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_broken_bytes_give_a_picture_or_its_error(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]))
    whole = bytearray(saved(halves((20, 10)), form))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PictureError):
        opened(bytes(whole))


# ---------------------------------------------------------------------------------------------------------- loading


def test_load_from_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(saved(halves()))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "long.png").write_bytes(b"x" * 2_000_000)

    async def main() -> None:
        loader = Loader(max_bytes=1_000_000, side=16)
        for picture in (Picture(path=str(file)), Picture(data=file.read_bytes())):
            assert Image.open(io.BytesIO(await loader.load(picture))).size == (16, 8)
        with pytest.raises(NoPicture):
            await loader.load(None)
        for wrong, hint in (
            (Picture(path=str(tmp_path / "gone.png")), "No such file"),
            (Picture(path=str(tmp_path)), "is not a file|directory"),
            (Picture(path=str(tmp_path / "pipe.png")), "is not a file"),
            (Picture(path="a\0b"), "no name of a file"),
            (Picture(path=str(tmp_path / "long.png")), "longer than max_bytes=1,000,000"),
            (Picture(data=b"x" * 2_000_000), "longer than max_bytes=1,000,000"),
            (Picture(url="http://shop.example/a.png"), "switched off"),
        ):
            with pytest.raises(PictureError, match=hint):
                await loader.load(wrong)
        await loader.aclose()

    asyncio.run(main())


def test_devices_are_no_pictures() -> None:
    with pytest.raises(PictureError, match="is not a file"):
        read("/dev/zero")


class Echo:
    """Labels everything with its mode."""

    def __init__(self) -> None:
        self.closed = False
        self.seen: list[Product] = []

    async def label(self, product: Product) -> Label:
        self.seen.append(product)
        return Label(category=product.mode.upper(), confidence=1.0, flags=("seen",))

    async def aclose(self) -> None:
        self.closed = True


def test_text_fallback() -> None:
    async def main() -> None:
        echo = Echo()
        product = Product(id="1", text="Name: Sofa", mode="image", picture=Picture(data=b"broken"))
        strict = Pictured(echo, Loader())
        with pytest.raises(PictureError):
            await strict.label(product)
        kind = Pictured(echo, Loader(), text_fallback=True)
        assert (await kind.label(product)) == Label(category="TEXT", confidence=1.0, flags=("seen", "text_fallback"))
        with pytest.raises(NoPicture):
            await kind.label(Product(id="2", mode="image"))  # nor is there a text
        good = Product(id="3", mode="image", picture=Picture(data=saved(halves())))
        assert (await kind.label(good)).category == "IMAGE"
        seen = echo.seen[-1].picture
        assert seen is not None
        assert (seen.data or b"").startswith(b"\xff\xd8")
        await kind.aclose()
        assert echo.closed

    asyncio.run(main())
