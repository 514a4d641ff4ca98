"""A policy file, read and checked; and its digest, by which a resumed run knows that results are still wanted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from raddle.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from yaml.nodes import Node

    from raddle.workloads.media.policy.values import Policy

__all__ = ["load_policy", "parse_policy", "policy_digest"]

_MAX_BYTES: Final = 1_000_000
#: aliases count each time they are used, so that a few lines cannot stand for millions of nodes
_MAX_NODES: Final = 20_000
_MAX_DEPTH: Final = 50
#: what makes no difference to what a file becomes
_WITHOUT_EFFECT: Final = frozenset({"on_error", "verify", "originals", "trash_days", "min_free", "threads", "warn"})
#: goes up when the same policy is to mean something else
_MEANING: Final = 1


def load_policy(path: str | Path) -> Policy:
    """Read a policy.

    Raises:
        ConfigError: it cannot be read, is no YAML (the message says where), or has problems: all of them, each with
            its line, key=value and what was perhaps meant.
        MissingExtra: PyYAML is not installed.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"policy={path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"policy={path}: has {len(data)} bytes; a policy has {_MAX_BYTES} at most")
    try:
        return parse_policy(data.decode("utf-8-sig"), source=str(path))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"policy={path}, line {line}: is not UTF-8 text; save it as UTF-8") from error


def parse_policy(text: str, *, source: str = "policy") -> Policy:
    """Read a policy from its text; raises as `load_policy`. `source` names it in messages."""
    node = _composed(text, source)
    from raddle.workloads.media.policy.reading import Wrong
    from raddle.workloads.media.policy.schema import POLICY

    try:
        return cast("Policy", POLICY(node, ""))
    except Wrong as error:
        problems = sorted(set(error.problems))
        lines = "\n".join(f"  line {problem.line}: {problem.text}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"policy={source}: {count}\n{lines}") from error


def _composed(text: str, source: str) -> Node:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("PyYAML", "media") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"policy={source}{where}: is no YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"policy={source}, line {line}: has a character that YAML does not allow") from error
    except RecursionError as error:
        raise ConfigError(f"policy={source}: is nested deeper than {_MAX_DEPTH} levels") from error
    if node is None:
        raise ConfigError(f"policy={source}: is empty; it needs version: 1 and steps:")
    _bounded(node, source)
    return node


def _bounded(root: Node, source: str) -> None:
    """Refuse what would take for ever to read: aliases of aliases, and nodes that contain themselves."""
    seen = 0
    waiting: list[tuple[Any, int]] = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > _MAX_NODES or depth > _MAX_DEPTH:
            raise ConfigError(f"policy={source}: has over {_MAX_NODES} values or {_MAX_DEPTH} levels, aliases included")
        if isinstance(node.value, list):
            children = (part for child in node.value for part in (child if isinstance(child, tuple) else (child,)))
            waiting.extend((child, depth + 1) for child in children)


def policy_digest(policy: Policy) -> str:
    """Return 64 hex digits that change when and only when a file may become something else by this policy.

    Comments, the order of keys, spellings of languages and values that equal the defaults make no difference, nor do
    names of steps and rules, nor what only says how carefully and how fast the work is done.
    """
    plain = json.dumps([_MEANING, _effect(policy)], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def _effect(value: Any) -> Any:
    """Return a value in plain types, without what equals its default: a key that is new some day changes nothing."""
    if isinstance(value, tuple):
        return [_effect(one) for one in value]
    if not dataclasses.is_dataclass(value):
        return value
    label = type(value).__name__
    ignored = _WITHOUT_EFFECT | ({"name"} if label in {"Step", "Rule"} else set())
    said = {
        field.name: _effect(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if field.name not in ignored and _effect(getattr(value, field.name)) != _effect(field.default)
    }
    return [label, said]
