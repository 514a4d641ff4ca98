"""The file format of rules: what each of them asks and does."""

from __future__ import annotations

from typing import Final

from yaml.nodes import MappingNode, Node, SequenceNode

from raddle.workloads.media.policy import values as v
from raddle.workloads.media.policy.asking import condition, tracks_and
from raddle.workloads.media.policy.reading import flag, list_of, one_of, shape, text, wrong
from raddle.workloads.media.policy.scalars import language

__all__ = ["RULE", "RULES", "THEN", "read_rules"]


def _set_flag(node: Node, name: str) -> v.Flag:
    which, rest = tracks_and(node, name, "to")
    to = [flag(value, f"{name}.to") for _, value in rest.value]
    return v.Flag(tracks=which, to=to[0] if to else True)


def _set_language(node: Node, name: str) -> v.SetLanguage:
    which, rest = tracks_and(node, name, "to")
    if not rest.value:
        raise wrong(node, f"{name}.to", "is missing")
    return v.SetLanguage(tracks=which, to=language(rest.value[0][1], f"{name}.to"))


def _set_tag(node: Node, name: str) -> tuple[v.SetTag, ...]:
    if not isinstance(node, MappingNode):
        raise wrong(node, name, "must be a mapping of tags: name: value ('' removes one)")
    pairs = {_tag_name(key, name): text(value, f"{name}.{key.value}") for key, value in node.value}
    return tuple(v.SetTag(name=key, value=value) for key, value in pairs.items())


def _tag_name(node: Node, name: str) -> str:
    word = text(node, name)
    if not word or "=" in word or not word.isprintable():
        raise wrong(node, name, "a tag's name must be printable and without =")
    return word


def _true(node: Node, name: str) -> bool:
    if not flag(node, name):
        raise wrong(node, name, "must be true; leave it out otherwise")
    return True


THEN: Final = shape(
    v.Then,
    set_language=list_of(_set_language),
    set_default=list_of(_set_flag),
    set_forced=list_of(_set_flag),
    set_tag=_set_tag,
    warn=text,
    fail=text,
    skip_video=_true,
    skip_audio=_true,
)
RULE: Final = shape(v.Rule, when=condition, then=THEN, otherwise=("else", THEN), name=text)
RULES: Final = shape(v.Rules, match=one_of("all", "first"), items=list_of(RULE, least=1, single=False))


def read_rules(node: Node, name: str) -> v.Rules:
    """Read a list of rules (all are looked at), or a mapping of match and items."""
    if isinstance(node, SequenceNode):
        return v.Rules(items=list_of(RULE, least=1)(node, name))
    rules: v.Rules = RULES(node, name)
    return rules
