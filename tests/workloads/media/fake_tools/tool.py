"""A program for tests that behaves in one of the ways below: python tool.py BEHAVIOUR [ARGUMENT...]."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path


def say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


def main(behaviour: str, *rest: str) -> int:  # noqa: C901, PLR0912 - a list of behaviours
    if behaviour == "good":  # DURATION FILE
        for part in range(1, 5):
            say(f"frame={part}", f"out_time_us={int(float(rest[0]) * 250_000 * part)}", "progress=continue")
        Path(rest[1]).write_bytes(b"result")
        say("progress=end")
    elif behaviour == "complains":  # exits 0 with errors on stderr
        print("[h264 @ 0x1] error while decoding MB 5 6", file=sys.stderr)
    elif behaviour == "floods":
        for number in range(20_000):
            print(f"line {number} " + "x" * 1000, file=sys.stderr)
        return 3
    elif behaviour == "sleeps":
        say("frame=1")
        time.sleep(600)
    elif behaviour == "stands":  # talks on and gets nowhere
        while True:
            say("frame=7", f"speed={time.time()}", "progress=continue")
            time.sleep(0.02)
    elif behaviour == "stubborn":  # ignores TERM, and so does its child, whose number it writes to FILE
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, __file__, "deaf"])
        Path(rest[0]).write_text(str(child.pid))
        say("frame=1")
        time.sleep(600)
    elif behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif behaviour == "truncates":  # SOURCE FILE: half of it, without a word
        whole = Path(rest[0]).read_bytes()
        Path(rest[1]).write_bytes(whole[: len(whole) // 2])
    elif behaviour == "warns":  # as mkvmerge does
        say("#GUI#begin_scanning_playlists", "#GUI#progress 40%", "#GUI#warning odd header", "#GUI#progress 100%")
        return 1
    elif behaviour == "refuses":
        say("#GUI#error The file could not be opened")
        return 2
    elif behaviour == "writes":  # FILE: grows in silence, longer than the stall limit of the test
        with Path(rest[0]).open("wb") as file:
            for _ in range(8):
                file.write(b"x" * 100)
                file.flush()
                time.sleep(0.25)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
