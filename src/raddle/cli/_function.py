"""From "MODULE:FUNC" on the command line to the function."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["resolve"]


def resolve(text: str) -> Callable[[Any], Any]:
    """Return the function that "package.module:func", "module:Class.method" or "path/to/file.py:func" names.

    The current folder (or the file's own) comes first on `sys.path`, as it does for `python -m`. The module is imported
    under its own name, so that worker processes can import it too.

    Raises:
        ConfigError: there is no such module or function; the message says where was looked
    """
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name:
        raise ConfigError(f"FUNCTION={text}: must be MODULE:FUNC, such as mymodule:resize or tools/resize.py:resize")
    module = _from_file(Path(where)) if where.endswith(".py") else _from_name(where)
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigError(f"FUNCTION={text}: {where} has no {name!r}{_similar(found, part)}") from None
    if not callable(found):
        raise ConfigError(f"FUNCTION={text}: is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


def _from_name(name: str) -> ModuleType:
    _first_on_path(Path.cwd())
    return _import(name, f"no module {name!r} in {Path.cwd()} or the installed packages")


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"FUNCTION={path}: no such file")
    _first_on_path(path.resolve().parent)
    module = _import(path.stem, f"{path} cannot be imported under the name {path.stem!r}")
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise ConfigError(f"{path}: another module is named {path.stem!r} ({module.__file__}); rename the file")
    return module


def _import(name: str, missing: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ConfigError(missing) from error
        raise ConfigError(f"module {name!r} needs {error.name!r}, which is not installed") from error
    except Exception as error:  # the user's own code runs here and may raise anything
        kind = type(error).__name__
        raise ConfigError(
            f"module {name!r} raised {kind} when imported: {error} (raddle --traceback shows where)"
        ) from error


def _first_on_path(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def _similar(owner: Any, name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, [key for key in vars(owner) if not key.startswith("_")], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
