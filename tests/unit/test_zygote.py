from __future__ import annotations

import os
import socket

from raddle.backends._worker import Plan
from raddle.backends._zygote import DIED, REPLY, Setup, Workers


def test_a_parent_that_does_not_read_its_replies_is_not_waited_for() -> None:
    """It may wait itself, for its requests to be taken: with hundreds of workers both did."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(0)
        setup = Setup(control=theirs, memory=-1, plan=Plan(None), parent=os.getppid(), blas_threads=1)
        workers = Workers(setup, ())
        count = 3000
        for slot in range(count):
            workers._report(DIED, slot, 1, 0)
        assert workers.untold
        told = b""
        while len(told) < count * REPLY.size:
            told += ours.recv(1 << 16)
            workers.tell()
        assert [slot for _, slot, _, _ in REPLY.iter_unpack(told)] == list(range(count))
        assert not workers.untold


def test_a_parent_that_is_gone_is_told_nothing() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        theirs.settimeout(0)
        workers = Workers(Setup(control=theirs, memory=-1, plan=Plan(None), parent=1, blas_threads=1), ())
        workers._report(DIED, 0, 1, 0)
        assert not workers.untold
