"""MP4 by the program ffmpeg (H.264, plays everywhere), or by OpenCV's own (MPEG-4 part 2, which browsers do not play).

OpenCV's wheels carry no H.264 encoder for licence reasons. With ffmpeg the frames go lossless into a temporary file
first, so that memory stays bounded and the program runs under the deadline of the attempt.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import raddle
from raddle.errors import ConfigError, RaddleError
from raddle.workloads.encrypt.draw.paint import opencv

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from raddle.workloads.encrypt.draw.paint import Picture

__all__ = ["write_mp4"]


def write_mp4(
    path: Path, pictures: Iterable[Picture], *, fps: int, words: dict[str, str], ffmpeg: str | None = None
) -> str:
    """Write a film to `path`, over what is there, and return the name of its codec.

    Args:
        path: where to; its name need not end in .mp4
        pictures: height x width x RGB, of even size
        fps: frames a second
        words: title and comment to embed (with ffmpeg)
        ffmpeg: the program; default: the one on the PATH; "" for none

    Raises:
        ConfigError: a program was named that is not there, or OpenCV cannot write films here
        RaddleError: ffmpeg failed; with what it said
    """
    program = shutil.which("ffmpeg" if ffmpeg is None else ffmpeg) if ffmpeg != "" else None
    if ffmpeg and not program:
        raise ConfigError(f"ffmpeg={ffmpeg!r}: no such program; leave it out to take the one on the PATH")
    if not program:
        rough = path.with_name(path.name + ".mp4")  # the format is chosen by the name
        try:
            _write(rough, "mp4v", pictures, fps)
            rough.replace(path)
        finally:
            rough.unlink(missing_ok=True)
        return "mpeg4"
    exact = path.with_name(path.name + ".avi")
    try:
        _write(exact, "FFV1", pictures, fps)
        _encode(program, exact, path, words)
    finally:
        exact.unlink(missing_ok=True)
    return "h264"


def _write(path: Path, codec: str, pictures: Iterable[Picture], fps: int) -> None:
    cv2 = opencv()
    writer = None
    try:
        for picture in pictures:
            if writer is None:
                size = (picture.shape[1], picture.shape[0])
                writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
                if not writer.isOpened():
                    raise ConfigError(f"OpenCV cannot write {codec} films of size={size} here: use GIF, APNG or a page")
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    finally:
        if writer is not None:
            writer.release()


def _encode(program: str, source: Path, path: Path, words: dict[str, str]) -> None:
    said = [part for key, text in words.items() for part in ("-metadata", f"{key.lower()}={text}".replace("\0", ""))]
    how = ["-c:v", "libx264", "-preset", "medium", "-crf", "18", "-tune", "animation", "-pix_fmt", "yuv420p"]
    place = ["-movflags", "+faststart", "-f", "mp4", "-y", str(path)]
    argv = [program, "-nostdin", "-v", "error", "-i", str(source), *how, *said, *place]
    try:
        raddle.run_process(argv, check=True, text=True, errors="replace")
    except subprocess.CalledProcessError as error:
        raise RaddleError(f"ffmpeg failed ({error.returncode}): {error.stderr.strip()[-500:]}") from error
