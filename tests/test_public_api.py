"""What raddle exports is what it means to export."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import pkgutil
import types
from pathlib import Path

import pytest

import raddle
from raddle import errors

PACKAGES = ["raddle"] + [
    module.name
    for module in pkgutil.walk_packages(raddle.__path__, "raddle.")
    if module.ispkg and "._" not in module.name
]

#: what a package imports for itself
MACHINERY = {"annotations", "TYPE_CHECKING", "exports"}

# A name that comes or goes is a change for users: change it here, in docs/reference/api.md and in CHANGELOG.md.
PUBLIC = {
    "AsyncRun",
    "Attempt",
    "ErrorInfo",
    "OnError",
    "Outcome",
    "Rate",
    "Retry",
    "Run",
    "Status",
    "Summary",
    "arun",
    "attempt",
    "run",
    "run_process",
    *errors.__all__,
}


def test_the_public_face_is_exactly_this() -> None:
    assert set(raddle.__all__) == PUBLIC


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_exact(package: str) -> None:
    module = importlib.import_module(package)
    listed = getattr(module, "__all__", [])
    assert len(listed) == len(set(listed)), "a name is listed twice"
    missing = [name for name in listed if not hasattr(module, name)]
    assert not missing, "listed in __all__ but not there"
    visible = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name not in MACHINERY - set(listed)
    }
    assert visible == {name for name in listed if not isinstance(getattr(module, name), types.ModuleType)}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_re_exports_and_nothing_else(package: str) -> None:
    source = Path(importlib.import_module(package).__file__ or "")
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        allowed = isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node) or _assigns(node) or _lazy(node)
        assert allowed, f"{package}, line {node.lineno}: logic belongs in a module of its own"


def test_every_error_is_in_the_tree_and_in_the_docstring() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.RaddleError)
        assert name in (errors.__doc__ or ""), f"{name} is not drawn in the tree on top of errors.py"


def test_versions_agree(root: Path) -> None:
    version = importlib.metadata.version("raddle")
    assert f'version = "{version}"' in (root / "pyproject.toml").read_text(encoding="utf-8")
    assert f"## {version}" in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def _lazy(node: ast.stmt) -> bool:
    """Tell whether it belongs to re-exports that are imported when they are first asked for."""
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "(__getattr__, __dir__)"
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _assigns(node: ast.stmt) -> bool:
    names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
    return isinstance(node, ast.Assign) and names == ["__all__"]
