"""Flags and titles: clear, defaults, and what MP4 makes of default flags."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raddle.workloads.media.plan.asking import language_of
from raddle.workloads.media.plan.roles import for_hearing_impaired, role, title_tells
from raddle.workloads.media.policy.codecs import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from raddle.workloads.media.plan.drafts import Draft, Drafts, State
    from raddle.workloads.media.policy.values import Clear, Defaults, Languages

__all__ = ["clear", "defaults", "mp4_defaults", "only_default"]


def clear(state: State, what: Clear) -> State:
    """Clear titles and flags. A title stays when only it tells commentary and the like from the film's own sound."""
    changed: dict[int, Draft] = {}
    for place, draft in enumerate(state.drafts):
        now, kind = draft.now, "" if draft.now.picture else draft.now.kind
        title = "" if kind in what.titles and not title_tells(now, state.words) else now.title
        default = now.default and kind not in what.default
        changed[place] = draft.but(title=title, default=default, forced=now.forced and kind not in what.forced)
    tags = {name: text for name, text in state.tags.items() if not (what.title and name.casefold() == "title")}
    return replace(state.each(changed), tags=tags)


def only_default(state: State, kind: str, chosen: Draft | None) -> State:
    """Make one track the default of its kind, or none."""
    wanted = chosen.source.index if chosen else None
    changed = {
        place: draft.but(default=chosen is not None and draft.source.index == wanted and draft.added == chosen.added)
        for place, draft in enumerate(state.drafts)
        if draft.now.kind == kind and not draft.now.picture
    }
    return state.each(changed)


def _first(drafts: Iterable[Draft], key: Callable[[Draft], tuple[int, ...]]) -> Draft | None:
    return min(drafts, key=key, default=None)


def _rank(value: str, order: tuple[str, ...]) -> int:
    return order.index(value) if value in order else len(order)


def _preferred_audio(state: State, wish: Defaults, languages: Languages) -> Draft | None:
    audio = state.of("audio")
    main = [draft for draft in audio if role(draft.now, state.words) == "main"]

    def codec(draft: Draft) -> int:
        places = (place for place, name in enumerate(wish.audio_codecs) if matches(draft.now, (name,)))
        return next(places, len(wish.audio_codecs))

    def key(draft: Draft) -> tuple[int, ...]:
        return _rank(language_of(draft.now), languages.audio), codec(draft)

    return _first(main or audio, key)


def _preferred_subtitle(state: State, languages: Languages, *, marked: bool) -> Draft | None:
    """Return the plain subtitle of the first language there is; with `marked` rather one that is already forced."""
    known = languages.subtitles
    fit = [
        draft
        for draft in state.of("subtitle")
        if (marked or not draft.now.forced)
        and role(draft.now, state.words) == "main"
        and (not known or language_of(draft.now) in known)
    ]

    def key(draft: Draft) -> tuple[int, ...]:
        plain = not (marked and draft.now.forced)
        return _rank(language_of(draft.now), known), plain, for_hearing_impaired(draft.now)

    return _first(fit, key)


def _foreign(state: State, languages: Languages) -> bool:
    """Whether all main sound is in known languages that are not the viewer's."""
    main = {language_of(draft.now) for draft in state.of("audio") if role(draft.now, state.words) == "main"}
    return bool(main and languages.audio) and not main & {*languages.audio, "und", "mul", "zxx"}


def defaults(state: State, wish: Defaults, languages: Languages) -> State:
    """Set the flags of the kinds that are named; the others stay as they are."""
    foreign = _foreign(state, languages)
    if wish.video == "first":
        state = only_default(state, "video", next(iter(state.of("video")), None))
    if wish.audio != "as_is":
        audio = {
            "preferred": _preferred_audio(state, wish, languages),
            "first": next(iter(state.of("audio")), None),
            "none": None,
        }
        state = only_default(state, "audio", audio[wish.audio])
    if wish.forced == "none":
        state = state.each({place: one.but(forced=False) for place, one in enumerate(state.drafts) if _text(one)})
    chosen = _preferred_subtitle(state, languages, marked=wish.forced == "when_foreign")
    if wish.forced == "when_foreign" and foreign and chosen:
        state = state.each(
            {place: one.but(forced=True) for place, one in enumerate(state.drafts) if one.source is chosen.source}
        )
    if wish.subtitle != "as_is":
        subtitle = {
            "preferred": chosen,
            "first": next(iter(state.of("subtitle")), None),
            "none": None,
            "when_foreign": chosen if foreign else None,
        }
        state = only_default(state, "subtitle", subtitle[wish.subtitle])
    return state


def _text(draft: Draft) -> bool:
    return draft.now.kind == "subtitle"


def mp4_defaults(drafts: Drafts) -> Drafts:
    """Return what reading an MP4 gives: the first track of a kind is the default when none is.

    The container has no default flag, only "enabled", and a kind without an enabled track would not play; ffmpeg
    enables the first then (libavformat/movenc.c, enable_tracks).
    """
    result = list(drafts)
    for kind in ("video", "audio", "subtitle"):
        places = [place for place, one in enumerate(drafts) if one.now.kind == kind and not one.now.picture]
        if places and not any(drafts[place].now.default for place in places):
            result[places[0]] = drafts[places[0]].but(default=True)
    return tuple(result)
