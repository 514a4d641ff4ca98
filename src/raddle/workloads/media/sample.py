"""A small library of generated files with the variety and the trouble of real ones, for tries and tests.

What the files hold depends on count and seed only; that is decided before anything is written.
"""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path
from typing import Final

import raddle
from raddle import errors
from raddle.workloads.media.clips import Attached, Clip, Sound, Text, find_ffmpeg, write_clip

__all__ = ["make_samples", "sample_clips"]

#: language and the word for it in titles
_LANGUAGES: Final = (("eng", "English"), ("jpn", "日本語"), ("ger", "Deutsch"), ("fre", "Français"), ("spa", "Español"))
_SHOWS: Final = ("Harbour Lights", "Die Werkstatt", "Été 42", "Night's Train & Co")
#: container, with how many files of a hundred have it
_CONTAINERS: Final = (("mkv", 62), ("mp4", 14), ("webm", 6), ("avi", 6), ("mov", 4), ("ts", 4), ("m4v", 4))
_VIDEO: Final = {
    "mkv": ("h264", "h264", "h264", "hevc", "mpeg4", "vp9"),
    "mp4": ("h264", "h264", "hevc", "mpeg4"),
    "m4v": ("h264",),
    "mov": ("h264", "mpeg4"),
    "webm": ("vp9",),
    "avi": ("mpeg4", "h264"),
    "ts": ("h264", "mpeg2video"),
}
_AUDIO: Final = {
    "mkv": ("aac", "ac3", "flac", "opus", "eac3", "mp3"),
    "mp4": ("aac", "ac3"),
    "m4v": ("aac",),
    "mov": ("aac", "pcm"),
    "webm": ("opus", "vorbis"),
    "avi": ("mp3", "ac3"),
    "ts": ("aac", "ac3", "mp2"),
}
_SIZES: Final = ((128, 96), (160, 90), (192, 108))
_RATES: Final = ("24000/1001", "24", "25", "30")
_STEREO: Final = frozenset({"mp3", "mp2", "vorbis", "pcm"})


def make_samples(
    folder: str | os.PathLike[str],
    count: int = 40,
    *,
    seed: int = 0,
    workers: int = 0,
    ffmpeg: str | None = None,
) -> list[Path]:
    """Write `count` files of 1 to 2 seconds below `folder`, and return their paths in order.

    Args:
        folder: made when missing; files of ours in it are an error, others are left alone
        count: of files
        seed: other seed, other files
        workers: files made at once; 0: as many as there are CPUs
        ffmpeg: the program; default: the system's, else that of imageio-ffmpeg

    Raises:
        ConfigError: an argument that cannot work, a folder that is none, a file that is there already, or no ffmpeg
        CalledProcessError: ffmpeg could not
    """
    if Path(folder).exists() and not Path(folder).is_dir():
        raise errors.ConfigError(f"folder={os.fspath(folder)!r} is a file: name a folder")
    clips = sample_clips(count, seed)
    make = partial(write_clip, folder=folder, ffmpeg=ffmpeg or find_ffmpeg())
    with raddle.run(make, clips, backend="threads", workers=workers, on_error="fail", memory=None) as made:
        return list(made.values())


def sample_clips(count: int, seed: int = 0) -> tuple[Clip, ...]:
    """Decide what `count` files hold. The first five show every trait whatever the seed."""
    if count < 1:
        raise errors.ConfigError(f"count={count}: give a number of files from 1 on")
    rich = _rich()
    return tuple(rich[at] if at < len(rich) else _clip(at, random.Random(f"{seed}/{at}")) for at in range(count))


def _rich() -> tuple[Clip, ...]:
    english = Sound(codec="aac", language="eng", title="Stereo", default=True)
    surround = Sound(codec="ac3", language="jpn", title="Surround 5.1", channels=6)
    talk = Sound(codec="opus", language="eng", title="Director's commentary", dispositions=("comment",))
    texts = (
        Text(language="eng", title="English", default=True),
        Text(language="eng", title="Signs", forced=True),
        Text(codec="ass", language="ger", title="Deutsch"),
        Text(language="eng", title="English SDH", dispositions=("hearing_impaired",)),
    )
    fonts = (Attached("Sans Oblique.ttf"), Attached("notes.txt", "text/plain"))
    everything = Clip(
        name="Films/Everything (2001).mkv",
        audio=(english, surround, talk),
        subtitles=texts,
        chapters=("Dawn", "", "Night – the end"),
        attachments=fonts,
        title="Everything",
        video_title="encoded by somebody",
        length=1.6,
    )
    twins = (Sound(language="jpn"), Sound(codec="flac", language="eng"))
    return (
        everything,
        Clip(name="Show A/Season 1/E01.mkv", audio=twins, subtitles=(Text(language="eng"), Text(language="jpn"))),
        Clip(name="Show B/Season 1/E01.mkv", audio=twins[::-1], subtitles=(Text(language="jpn"),), video="hevc"),
        Clip(
            name="Films/Cover.mp4",
            container="mp4",
            audio=(english,),
            subtitles=(texts[0],),
            chapters=("One", "Two"),
            cover=True,
            title="With a cover",
        ),
        Clip(name="Films/SHOUTING.MKV", audio=(Sound(),), subtitles=(Text(),)),
    )


def _clip(at: int, dice: random.Random) -> Clip:
    container = dice.choices([name for name, _ in _CONTAINERS], [share for _, share in _CONTAINERS])[0]
    width, height = dice.choice(_SIZES)
    mkv = container == "mkv"
    show = dice.choice(_SHOWS)
    suffix = container.upper() if dice.random() < 0.1 else container  # noqa: PLR2004 - a share
    return Clip(
        name=f"{show}/Season {1 + at % 3}/{show} – {at:03}.{suffix}",
        container=container,
        video=dice.choice(_VIDEO[container]),
        width=width,
        height=height,
        rate=dice.choice(_RATES[2:] if container in {"avi", "ts"} else _RATES),
        length=dice.choice((1.0, 1.4, 2.0)),
        audio=_sounds(container, dice),
        subtitles=_texts(container, dice),
        chapters=tuple(f"Part {part}" for part in range(1, dice.randint(1, 4))) if container in {"mkv", "mp4"} else (),
        attachments=tuple(Attached(f"font-{part}.ttf") for part in range(dice.choice((0, 0, 1, 2)))) if mkv else (),
        title=f"{show} {at}" if dice.getrandbits(1) else "",
        video_title="rip by nobody" if mkv and dice.getrandbits(1) else "",
        cover=container in {"mp4", "m4v"} and dice.random() < 0.5,  # noqa: PLR2004 - a share
    )


def _sounds(container: str, dice: random.Random) -> tuple[Sound, ...]:
    chosen = dice.sample(_LANGUAGES, 1 if container in {"avi", "webm", "mov"} else dice.randint(1, 4))
    out = []
    for number, (language, word) in enumerate(chosen):
        codec = dice.choice(_AUDIO[container])
        channels = 2 if codec in _STEREO else dice.choice((1, 2, 2, 6))
        unknown = dice.random() < 0.1  # noqa: PLR2004 - a share
        title = dice.choice(("", word, f"{word} {channels}ch")) if container == "mkv" else ""
        name = "" if unknown else language
        out.append(Sound(codec=codec, language=name, title=title, channels=channels, default=number == 0))
    if container == "mkv" and dice.getrandbits(1):
        out.append(Sound(codec="aac", language=chosen[0][0], title="Commentary with the cast"))
    return tuple(out)


def _texts(container: str, dice: random.Random) -> tuple[Text, ...]:
    if container not in {"mkv", "mp4", "m4v"}:
        return ()
    out = []
    for language, word in dice.sample(_LANGUAGES, dice.randint(0, 3)):
        codec = dice.choice(("subrip", "subrip", "ass"))
        forced = dice.random() < 0.2  # noqa: PLR2004 - a share
        out.append(Text(codec=codec, language=language, title="Forced" if forced else word, forced=forced))
    return tuple(out)
