"""What the items do. A module of its own, so that the workers of every peer can import it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from contextlib import suppress

HANG = 3600.0


def nothing(number: int) -> int:
    return number


async def nothing_async(number: int) -> int:
    return number


def enlarge(item: bytes) -> bytes:
    """Give back a new object of the same size, so that nobody can get away with sending a reference."""
    return item[:-1] + b"."


def size(item: bytes) -> int:
    return len(item)


def spin(milliseconds: float) -> float:
    """Keep one CPU busy for so much CPU time, and return the CPU seconds that it really was."""
    began = time.thread_time()
    end = began + milliseconds / 1000
    while (now := time.thread_time()) < end:
        pass
    return now - began


def touch(text: str) -> None:
    """Leave a trace of an item that started. Appends of a few bytes are atomic."""
    descriptor = os.open(text, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, b".")
    os.close(descriptor)


def sleep_long(path: str) -> None:
    touch(path)
    time.sleep(12)


def stuck_in_c(path: str) -> int:
    """About 12 s in one call that looks at no signal and keeps the interpreter lock."""
    touch(path)
    return sum(range(700_000_000))


def sleep_short(path: str) -> None:
    touch(path)
    time.sleep(0.1)


def fail_at_100(item: str) -> int:
    """Take "NUMBER PATH": mpire would make two arguments of a pair."""
    number, _, path = item.partition(" ")
    touch(path)
    time.sleep(0.01)
    if number == "100":
        raise ValueError(number)
    return int(number)


def _swallow() -> None:
    while True:
        with suppress(Exception):  # the item that this benchmark is about
            time.sleep(HANG)


def hang_sleep(number: int) -> int:
    time.sleep(HANG if number in {3, 4} else 0.01)
    return number


def hang_in_c(number: int) -> int:
    if number in {3, 4}:
        return sum(range(10**13))
    time.sleep(0.01)
    return number


def hang_swallow(number: int) -> int:
    if number in {3, 4}:
        _swallow()
    time.sleep(0.01)
    return number


def hang_in_child(number: int) -> int:
    if number in {3, 4}:
        subprocess.run(["sleep", "3600"], check=False)
    time.sleep(0.01)
    return number


def die_at_100(number: int) -> int:
    if number == 100:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.001)
    return number


def sleep_10(_: int) -> None:
    time.sleep(0.01)


async def sleep_10_async(_: int) -> None:
    await asyncio.sleep(0.01)


def program(_: int) -> int:
    return subprocess.run(["sleep", "0.01"], check=True).returncode


def half_and_half(_: int) -> None:
    time.sleep(0.005)
    spin(5)
