"""Pictures of every kind become grey by rule; broken ones give one clear error, soon and within memory."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("cv2")
pytest.importorskip("PIL")

from PIL import Image  # noqa: E402 - only if it is there

from raddle.workloads.encrypt.sketch.pictures import FORMATS, read_picture, size_of  # noqa: E402
from raddle.workloads.encrypt.sketch.values import PictureError, PreprocessConfig  # noqa: E402

SECONDS, MEBIBYTES = 40, 500
MARK = (slice(0, 8), slice(0, 16))  # a black corner, to see which way is up


def grey_of(image: Image.Image, kind: str, **options: Any) -> Any:
    return read_picture(saved(image, kind, **options)).grey


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def scene(width: int = 48, height: int = 32) -> Any:
    """Grey, 200, with a black corner at the upper left."""
    grey = np.full((height, width), 200, np.uint8)
    grey[MARK] = 0
    return grey


def close(one: Any, other: Any, *, within: int = 2) -> bool:
    return one.shape == other.shape and int(np.abs(one.astype(int) - other.astype(int)).max()) <= within


# ------------------------------------------------------------------------------------------------ kinds and modes

LOSSLESS = ("PNG", "BMP", "GIF", "TIFF", "PPM", "TGA", "PCX", "SGI", "JPEG2000")


@pytest.mark.parametrize("kind", LOSSLESS)
def test_every_format_is_known_by_its_content(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(saved(Image.fromarray(scene()), kind))
    read = read_picture(path)
    assert np.array_equal(read.grey, scene())
    assert (read.name, read.format, read.notes) == ("picture.txt", kind, ())
    assert size_of(path) == (48, 32)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossy_formats(kind: str, mode: str) -> None:
    read = grey_of(Image.fromarray(scene()).convert(mode), kind, quality=100)
    assert abs(float(read.mean()) - float(scene().mean())) < 2
    assert (read[2, 2] < 20, read[20, 30] > 180) == (True, True)


def test_all_formats_are_tested() -> None:
    assert {*LOSSLESS, "JPEG", "WEBP", "AVIF", "DIB"} == set(FORMATS)


def test_colours_become_grey_by_itu_601() -> None:
    red = Image.new("RGB", (9, 9), (255, 0, 0))
    assert grey_of(red, "PNG")[4, 4] == 76
    assert abs(int(grey_of(red, "JPEG", quality=100)[4, 4]) - 76) <= 1


def test_palette() -> None:
    assert close(grey_of(Image.fromarray(scene()).convert("RGB").quantize(8), "PNG"), scene())


def test_one_bit() -> None:
    read = grey_of(Image.fromarray(scene()).convert("1", dither=Image.Dither.NONE), "PNG")
    assert set(np.unique(read)) == {0, 255}


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk(kind: str) -> None:
    read = grey_of(Image.fromarray(scene()).convert("RGB").convert("CMYK"), kind)
    assert (read[2, 2] < 20, read[20, 30] > 180) == (True, True)


def test_lab() -> None:
    lab = Image.merge("LAB", [Image.fromarray(scene()), Image.new("L", (48, 32), 128), Image.new("L", (48, 32), 128)])
    assert close(grey_of(lab, "TIFF"), scene())


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_16_bits_the_upper_8_count(kind: str) -> None:
    deep = scene().astype(np.uint16) * 256 + 77
    assert np.array_equal(grey_of(Image.fromarray(deep), kind), scene())


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_integers_and_floats_are_stretched(dtype: Any) -> None:
    read = grey_of(Image.fromarray((scene().astype(dtype) - 5) * 1000), "TIFF")
    assert (int(read.min()), int(read.max())) == (0, 255)


def test_floats_that_are_no_numbers() -> None:
    odd = scene().astype(np.float32)
    odd[20, 20], odd[21, 21], odd[22, 22] = np.nan, np.inf, -np.inf
    read = grey_of(Image.fromarray(odd), "TIFF")
    assert (read[20, 20], read[21, 21], read[22, 22], read[25, 25]) == (0, 255, 0, 255)
    assert not grey_of(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF").any()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_lie_on_white(mode: str) -> None:
    image = Image.fromarray(scene()).convert(mode)
    alpha = np.full((32, 48), 255, np.uint8)
    alpha[MARK] = 0
    alpha[20:, :] = 128
    image.putalpha(Image.fromarray(alpha))
    read = grey_of(image, "PNG")
    assert (read[2, 2], read[15, 30], read[25, 30]) == (255, 200, 227)


def test_a_transparent_palette_colour() -> None:
    image = Image.fromarray(scene()).quantize(4)
    clear = image.getpixel((0, 0))
    assert grey_of(image, "PNG", transparency=clear)[0, 0] == 255


def test_tall_transparent_pictures_are_composited_in_bands() -> None:
    tall = np.zeros((700, 3, 4), np.uint8)
    tall[:, :, 3] = np.linspace(0, 255, 700, dtype=np.uint8)[:, None]
    read = grey_of(Image.fromarray(tall), "PNG")
    assert np.array_equal(read[:, 1], 255 - tall[:, 1, 3])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    """Pillow's own exif_transpose is the oracle."""
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(scene()), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("L"))
    read = read_picture(data)
    assert close(read.grey, expected)
    assert read.grey.shape == ((48, 32) if orientation > 4 else (32, 48))
    assert read.grey.flags.c_contiguous


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP", "MPO"])
def test_of_several_frames_the_first_is_taken_and_that_is_said(kind: str) -> None:
    frames = [Image.fromarray(scene()).convert("RGB"), Image.new("RGB", (48, 32), (250, 10, 10))]
    read = read_picture(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert close(read.grey, scene(), within=60 if kind == "MPO" else 3)
    assert read.notes == ("several frames or pages: the first was taken",)


def test_one_pixel() -> None:
    assert grey_of(Image.new("L", (1, 1), 7), "PNG").tolist() == [[7]]


# -------------------------------------------------------------------------------------------------- what is refused


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (100_000, 1000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_by_the_header(width: int, height: int) -> None:
    with pytest.raises(PictureError, match=r"max_pixels|bomb"):
        read_picture(png_header(width, height) + struct.pack(">I", 9) + b"IDAT" + bytes(13))


def test_the_limit_is_an_option_and_the_message_names_it() -> None:
    data = saved(Image.fromarray(scene()), "PNG")
    with pytest.raises(PictureError, match=r"picture: 48 x 32 px are more than max_pixels=1000; raise it"):
        read_picture(data, PreprocessConfig(max_pixels=1000))
    assert read_picture(data, PreprocessConfig(max_pixels=48 * 32)).grey.shape == (32, 48)


@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_what_is_no_picture_is_said_so(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "no.png"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"no\.png: (not a picture|damaged)") as caught:
        read_picture(path)
    assert "0x" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_truncated_files_are_refused_unless_allowed(kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (400, 300), np.uint8)
    data = saved(Image.fromarray(noise), kind)
    with pytest.raises(PictureError, match=r"trunc|damaged"):
        read_picture(data[: len(data) * 2 // 3])
    if kind in {"PNG", "JPEG", "BMP"}:  # the others are decoded whole or not at all
        read = read_picture(data[: len(data) * 2 // 3], PreprocessConfig(allow_truncated=True))
        rows = slice(-200, None) if kind == "BMP" else slice(200)  # BMP begins at the bottom
        assert close(read.grey[rows], noise[rows], within=150 if kind == "JPEG" else 0)
        assert "breaks off" in read.notes[0]


def test_warnings_of_the_decoder_stay_inside() -> None:
    """Warnings are errors here: this one is of an EXIF block that is cut off."""
    exif = Image.Exif()
    exif[0x010E] = "a description that is cut off"
    data = saved(Image.fromarray(scene()), "JPEG", exif=exif.tobytes()[:-20], quality=100)
    assert read_picture(data).grey.shape == (32, 48)


# ---------------------------------------------------------------------------------------------- broken and mutated

CHILD = """
import json, re, sys, time
from pathlib import Path
from raddle.workloads.encrypt.sketch import PictureError, PreprocessConfig, sketch_picture

def peak():  # MiB; not ru_maxrss, which remembers the program before an exec
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

config = PreprocessConfig(allow_truncated=sys.argv[1] == "1")
for line in sys.stdin:
    path = line.rstrip("\\n")
    start = time.monotonic()
    try:
        sketch = sketch_picture(path, config)
        outcome = f"{sketch.width} x {sketch.height}: {len(sketch.c)}"
    except PictureError as error:
        outcome = "refused: " + str(error)
    seconds = time.monotonic() - start
    print(json.dumps([path, outcome, seconds, peak()]), flush=True)
"""


def outcomes(paths: list[Path], *, truncated: bool = False) -> list[tuple[str, str, float, float]]:
    """One process reads them all: path, outcome, seconds, peak of its memory so far in MiB."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(int(truncated))],
        input="".join(f"{path}\n" for path in paths),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    lines = [tuple(json.loads(line)) for line in child.stdout.splitlines()]
    assert len(lines) == len(paths), f"ended by {paths[min(len(lines), len(paths) - 1)]}: {child.stderr[-2000:]}"
    assert "Warning" not in child.stderr  # libtiff itself prints there
    return lines


def judge(lines: list[tuple[str, str, float, float]]) -> None:
    for path, outcome, seconds, peak in lines:
        assert seconds < SECONDS, path
        assert peak < MEBIBYTES, path
        if outcome.startswith("refused"):
            assert Path(path).name in outcome
            assert "\n" not in outcome
            assert len(outcome) < 500


@pytest.mark.parametrize("truncated", [False, True])
def test_broken_pictures(data: Path, truncated: bool) -> None:
    paths = sorted(p for folder in (data / "images").glob("broken*") for p in folder.rglob("*") if p.is_file())
    if len(paths) > 400:
        paths = random.Random(3).sample(paths, 400)
    if not paths:
        pytest.skip("no broken pictures among the data")
    lines = outcomes(paths, truncated=truncated)
    judge(lines)
    found = {Path(path).name: outcome for path, outcome, _, _ in lines}
    assert found["decompression_bomb.gif"].startswith("refused")
    assert found["png_decompression_dos.png"].startswith("refused")
    assert found["truncated_image.png"].startswith("refused") is not truncated


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_broken_pictures_and_formats(data: Path) -> None:
    folders = [*(data / "images").glob("broken*"), *(data / "images").glob("formats*")]
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    for start in range(0, len(paths), 200):
        judge(outcomes(paths[start : start + 200]))


def mutants(folder: Path, each: int, seed: int) -> list[Path]:
    """Files of all formats, cut, with bytes changed, sizes blown up and parts doubled."""
    dice = random.Random(seed)
    noise = np.random.default_rng(seed).integers(0, 256, (40, 60, 4), np.uint8)
    noise[10:30, 10:50] = 90
    whole = {}
    for kind in (*FORMATS, "TIFF-lzw", "TIFF-jpeg", "GIF-many", "PNG-alpha", "PNG-palette"):
        name, _, variant = kind.partition("-")
        image = Image.fromarray(noise[:, :, :3])
        options: dict[str, Any] = {}
        if variant in {"lzw", "jpeg"}:
            options["compression"] = "tiff_lzw" if variant == "lzw" else "jpeg"
        if variant == "many":
            options |= {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
        if variant == "alpha":
            image = Image.fromarray(noise)
        if variant == "palette":
            image = image.quantize(16)
        whole[kind] = saved(image, name, **options)
    paths = []
    for kind, good in whole.items():
        for number in range(each):
            path = folder / f"{kind}-{number}.img"
            path.write_bytes(mutant(good, dice))
            paths.append(path)
    return paths


def mutant(good: bytes, dice: random.Random) -> bytes:
    bad = bytearray(good)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(bad))
        match dice.randrange(5):
            case 0:
                del bad[max(8, at) :]
            case 1:
                bad[at] ^= 1 << dice.randrange(8)
            case 2:
                head = dice.randrange(4, 64)
                bad[head : head + 2] = dice.choice([b"\xff\xff", b"\x00\x00", b"\x00\x01", b"\x7f\xff", b"\x1f\x40"])
            case 3:
                bad[at:at] = bad[max(0, at - 30) : at]
            case _:
                bad[at : at + 4] = dice.randbytes(4)
    return bytes(bad)


def test_mutated_pictures(tmp_path: Path) -> None:
    judge(outcomes(mutants(tmp_path, 12, seed=1)))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [2, 3, *(pytest.param(seed, marks=pytest.mark.chaos) for seed in range(4, 20))])
def test_many_mutated_pictures(tmp_path: Path, seed: int) -> None:
    paths = mutants(tmp_path, 100, seed=seed)
    for start in range(0, len(paths), 300):
        judge(outcomes(paths[start : start + 300], truncated=bool(seed % 2)))
