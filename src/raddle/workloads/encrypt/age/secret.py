"""Bytes that nobody sees by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn, Self

__all__ = ["Secret"]


class Secret:
    """Key material or a passphrase: hidden in repr, str, format and tracebacks' values, refused by pickle.

    It can be taken to a worker process only on purpose, by `lending.lend`. Python cannot wipe bytes from memory, so
    neither does this class claim to.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes; keep them out of values that outlive the call."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a digest of a passphrase in a dict's order would be a leak

    def __bool__(self) -> bool:
        return bool(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: hand it to workers with raddle.workloads.encrypt.lending.lend()")
