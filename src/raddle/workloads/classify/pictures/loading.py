"""A picture from wherever it is, as a small JPEG, off the event loop."""

from __future__ import annotations

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from raddle.plugin import granted_cpus
from raddle.workloads.classify.errors import NoPicture, PictureError
from raddle.workloads.classify.pictures.decoding import MAX_PIXELS, decode

if TYPE_CHECKING:
    from raddle.workloads.classify.pictures.fetch import Fetcher
    from raddle.workloads.classify.values import Picture

__all__ = ["Loader", "read"]


class Loader:
    """Loads pictures with a few threads of its own.

    Args:
        fetcher: for addresses; without it only files and uploads are read. It is closed with this one
        side: most pixels of the longer side
        threads: pictures decoded at once; each may take some hundred MB for a moment; 0: one for each CPU, at most 4
    """

    def __init__(
        self,
        fetcher: Fetcher | None = None,
        *,
        side: int = 512,
        max_bytes: int = 10_000_000,
        max_pixels: int = MAX_PIXELS,
        threads: int = 0,
    ) -> None:
        self._fetcher = fetcher
        self._side, self._max_bytes, self._max_pixels = side, max_bytes, max_pixels
        workers = threads or min(4, granted_cpus())
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="raddle-picture")

    async def load(self, picture: Picture | None) -> bytes:
        """Return the picture as a JPEG of at most `side` px.

        Raises:
            NoPicture: there is none
            PictureError: it was refused or is broken
        """
        if picture is None:
            raise NoPicture("the item names no picture")
        loop = asyncio.get_running_loop()
        if picture.url is not None:
            if self._fetcher is None:
                raise PictureError("pictures from addresses are switched off here")
            data = await self._fetcher.fetch(picture.url)
            return await loop.run_in_executor(self._pool, self._decode, data)
        return await loop.run_in_executor(self._pool, self.load_here, picture)

    def load_here(self, picture: Picture) -> bytes:
        """Do the same in this thread, for a file or an upload.

        Raises:
            PictureError: as `load`
        """
        if picture.url is not None:
            raise PictureError("a picture from an address cannot be had here: it was to be fetched before")
        data = picture.data if picture.data is not None else read(picture.path or "", max_bytes=self._max_bytes)
        if len(data) > self._max_bytes:
            raise PictureError(f"the picture is longer than max_bytes={self._max_bytes:,}")
        return self._decode(data)

    async def aclose(self) -> None:
        """Close the fetcher, and let the threads go; what they are at ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._fetcher is not None:
            await self._fetcher.aclose()

    def _decode(self, data: bytes) -> bytes:
        return decode(data, side=self._side, max_pixels=self._max_pixels)


def read(path: str, *, max_bytes: int = 10_000_000) -> bytes:
    """Return the bytes of a picture file.

    Raises:
        PictureError: there is none, it is no regular file, or too long
    """
    try:
        # without O_NONBLOCK the opening of a pipe would wait for its other end
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise PictureError(f"picture={path!r} is not a file")
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise PictureError(f"picture={path!r}: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise PictureError(f"picture={path!r} is no name of a file") from error
    if len(data) > max_bytes:
        raise PictureError(f"picture={path!r} is longer than max_bytes={max_bytes:,}")
    return data
