"""Reads a state dict that PyTorch wrote before version 1.6, without PyTorch, and running nothing that is in it.

The file holds five pickles (a magic number, the protocol, the machine, the dict whose tensors name their storages, the
order of these) and then each storage as a count and its bytes. Only what rebuilds a tensor may be named by the pickles.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["read_state_dict"]

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_DTYPES: Final = {"FloatStorage": "<f4", "LongStorage": "<i8"}


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor: where in which storage it lies. Strides count elements, and need not be those of a plain array."""

    storage: str
    dtype: str
    elements: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a tensor")

    def persistent_load(self, pid: Any) -> tuple[str, str, int]:
        kind, dtype, key, _device, elements, _view_metadata = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"{kind!r} is not a storage")
        return str(key), str(dtype), int(elements)


def read_state_dict(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the float tensors of the file by name, each as a plain array of its own.

    Raises:
        ConfigError: the file is damaged, or is something else
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise ConfigError(f"weights={path.name!r} cannot be read: {error}; install the package again") from error


def _read(file: BinaryIO) -> dict[str, NDArray[np.float32]]:
    import numpy as np

    magic, protocol, _machine = (_Unpickler(file).load() for _ in range(3))
    if (magic, protocol) != (_MAGIC, _PROTOCOL):
        raise ValueError("it does not begin as such a file does")
    views: dict[str, _View] = _Unpickler(file).load()
    dtypes = {view.storage: view.dtype for view in views.values()}
    storages: dict[str, NDArray[Any]] = {}
    for key in _Unpickler(file).load():
        (count,) = np.frombuffer(file.read(8), "<i8")
        dtype = np.dtype(dtypes[key])
        storages[key] = np.frombuffer(file.read(int(count) * dtype.itemsize), dtype)
    return {name: _array(view, storages[view.storage]) for name, view in views.items() if view.dtype == "<f4"}


def _array(view: _View, storage: NDArray[Any]) -> NDArray[np.float32]:
    import numpy as np

    reach = sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
    # as_strided trusts us: nothing may lie outside the storage.
    if min((view.offset, *view.shape, *view.strides)) < 0 or view.offset + reach >= storage.size:
        raise ValueError(f"a tensor of shape {view.shape} does not fit into its storage of {storage.size}")
    steps = tuple(stride * storage.itemsize for stride in view.strides)
    return np.array(np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, steps), order="C")


def _view(
    storage: tuple[str, str, int], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_rest: Any
) -> _View:
    key, dtype, elements = storage
    return _View(key, dtype, elements, offset, tuple(shape), tuple(strides))
