"""Rules: when a condition holds of what stays, flags, languages and tags are set, or the file is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raddle.workloads.media.plan.asking import holds, selects
from raddle.workloads.media.plan.drafts import Refused
from raddle.workloads.media.plan.flags import only_default

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle.workloads.media.plan.drafts import State
    from raddle.workloads.media.policy.values import Flag, Rules, Then

__all__ = ["apply_rules"]


def apply_rules(state: State, rules: Rules) -> State:
    """Carry out the rules. All conditions are asked before anything is set, so that no rule sees another's work."""
    for then in tuple(_meant(state, rules)):
        state = _done(state, then)
    return state


def _meant(state: State, rules: Rules) -> Iterator[Then]:
    for rule in rules.items:
        applies = holds(rule.when, state.file, state.words, streams=state.streams, tags=tuple(state.tags.items()))
        yield rule.then if applies else rule.otherwise
        if applies and rules.match == "first":
            return


def _done(state: State, then: Then) -> State:
    if then.fail is not None:
        raise Refused(f"rules.fail={then.fail}")
    for language in then.set_language:
        chosen = [place for place, one in enumerate(state.drafts) if selects(language.tracks, one.now, state.words)]
        state = state.each({place: state.drafts[place].but(language=language.to) for place in chosen})
    for wish in then.set_default:
        state = _default(state, wish)
    for wish in then.set_forced:
        chosen = [place for place, one in enumerate(state.drafts) if selects(wish.tracks, one.now, state.words)]
        state = state.each({place: state.drafts[place].but(forced=wish.to) for place in chosen})
    for tag in then.set_tag:
        state = replace(state, tags=_tagged(state.tags, tag.name, tag.value))
    if then.warn is not None:
        state = state.warned(then.warn)
    return replace(
        state, skip_video=state.skip_video or then.skip_video, skip_audio=state.skip_audio or then.skip_audio
    )


def _default(state: State, wish: Flag) -> State:
    """Set: the first track that matches becomes the only default of its kind. Clear: all that match lose the flag."""
    chosen = [place for place, one in enumerate(state.drafts) if selects(wish.tracks, one.now, state.words)]
    if not wish.to:
        return state.each({place: state.drafts[place].but(default=False) for place in chosen})
    if not chosen:
        return state
    first = state.drafts[chosen[0]]
    return only_default(state, first.now.kind, first)


def _tagged(tags: dict[str, str], name: str, value: str) -> dict[str, str]:
    """Return the tags with one set, removed (empty value) or left; names are alike whatever their case."""
    same = next((known for known in tags if known.casefold() == name.casefold()), None)
    if same is None:
        return {**tags, name: value} if value else tags
    return {known: (value if known == same else text) for known, text in tags.items() if value or known != same}
