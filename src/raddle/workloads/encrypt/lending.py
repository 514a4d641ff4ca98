"""Keys for worker processes, on purpose and by no other way.

Pickles travel: over sockets, into journals, reprs and logs. So what is pickled is a `Loan`: the number of a process and
of its descriptor. The keys lie in that process's memory (memfd), where a worker of the same user on the same machine
fetches them through /proc while the loan lasts, and whoever could do that could read the process's memory anyway.

    with lend(Keys(identities)) as loan:
        raddle.run(partial(open_one, loan=loan), paths)      # in the worker: keys = loan.take()

Rejected: the environment of the workers, which their children inherit and `ps e` shows; an inherited descriptor, which
the pool that starts the workers would have to know of.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from raddle.errors import ConfigError
from raddle.workloads.encrypt.age.secret import Secret
from raddle.workloads.encrypt.age.x25519 import X25519Identity

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Loan", "lend"]

_T = TypeVar("_T")

_TOKEN = 16

#: by token: what this process has taken, so that an item costs a look and not a key set-up
_taken: dict[bytes, object] = {}


@dataclass(frozen=True, slots=True)
class Loan(Generic[_T]):
    """Where the keys are; holds none of them, and may be pickled, logged and journaled."""

    pid: int
    fd: int = field(repr=False)
    token: bytes = field(repr=False)

    def take(self) -> _T:
        """Return what was lent.

        Raises:
            ConfigError: the lender has ended, ended the loan, or is not of this machine and user
        """
        if self.token not in _taken:
            _taken[self.token] = self._fetch()
        return cast("_T", _taken[self.token])

    def _fetch(self) -> object:
        try:
            with open(f"/proc/{self.pid}/fd/{self.fd}", "rb") as file:  # noqa: PTH123 (a descriptor, not a path)
                token, data = file.read(_TOKEN), file.read()
        except OSError as error:
            raise ConfigError(f"{_GONE} ({error.strerror})") from error
        if token != self.token:
            raise ConfigError(_GONE)
        return pickle.loads(data)  # noqa: S301 (the token says that the lender is who wrote it)


_GONE = "the keys are lent only while the run lasts, to workers of the same user on the same machine"


@contextlib.contextmanager
def lend(value: _T) -> Iterator[Loan[_T]]:
    """Lend keys (`Keys`, `Lock`, or anything that holds them) to workers until the block ends."""
    token = os.urandom(_TOKEN)
    fd = os.memfd_create("raddle-keys")  # not inherited by programs that are started meanwhile
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(token)
            _Revealing(file).dump(value)
        yield Loan(os.getpid(), fd, token)
    finally:
        os.close(fd)
        _taken.pop(token, None)


class _Revealing(pickle.Pickler):
    """The one place where secrets are pickled."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Secret):
            return Secret, (value.reveal(),)
        if isinstance(value, X25519Identity):
            return X25519Identity, (value.key(),)
        return NotImplemented
