"""A process for tests that replaces one file and dies, as if by kill -9, at a named step: see `main`."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from raddle.workloads.media.replace.replacing import replace_file
from raddle.workloads.media.replace.staging import stage
from raddle.workloads.media.replace.system import identity_of


def main(source: str, target: str, originals: str, fatal: str, how: str = "exchange") -> None:
    def step(name: str) -> None:
        if name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    identity = identity_of(Path(source).stat())
    with stage(source) as staged:
        step("staged")
        Path(staged.path).write_bytes(b"new" * 1000)
        Path(f"{staged.path}.4").write_bytes(b"cover")
        step("written")
        done = replace_file(staged, target, identity, originals=originals, step=step, exchanging=how == "exchange")  # type: ignore[arg-type]
    print(json.dumps([done.path, done.original]))


if __name__ == "__main__":
    main(*sys.argv[1:])
