"""Which streams stay: keep_audio, keep_subtitles, attachments."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raddle.workloads.media.plan.asking import language_of
from raddle.workloads.media.plan.drafts import Refused
from raddle.workloads.media.plan.roles import role
from raddle.workloads.media.policy.codecs import STYLED, matches

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from raddle.workloads.media.plan.drafts import Draft, State
    from raddle.workloads.media.policy.values import AddAudio, Attachments, KeepAudio, KeepSubtitles
    from raddle.workloads.media.values import Stream

__all__ = ["is_font", "keep_attachments", "keep_audio", "keep_subtitles"]

_FONT_NAMES = (".ttf", ".otf", ".ttc", ".otc", ".woff", ".woff2", ".pfb", ".pfm")
_FONT_TYPES = ("font", "truetype", "opentype", "vnd.ms-opentype")


def _without(state: State, gone: AbstractSet[int]) -> State:
    return replace(state, drafts=tuple(draft for draft in state.drafts if draft.source.index not in gone))


def keep_audio(state: State, keep: KeepAudio, added: tuple[AddAudio, ...] = ()) -> State:
    """Drop the audio that is not wanted; `at_least` counts main tracks, so that commentary alone never satisfies it.

    What `added` would make of the tracks that stay is not dropped: it would be made again.
    """
    audio = state.of("audio")
    what = {draft.source.index: role(draft.now, state.words) for draft in audio}
    ways = {
        "main": "by_language",
        "commentary": keep.commentary,
        "description": keep.description,
        "music": keep.music,
        "sfx": keep.sfx,
    }

    def stays(draft: Draft, languages: tuple[str, ...]) -> bool:
        way = ways[what[draft.source.index]]
        return way == "keep" or (way == "by_language" and language_of(draft.now) in languages)

    kept = [draft for draft in audio if stays(draft, keep.languages)]
    main = [draft for draft in audio if what[draft.source.index] == "main"]
    short = sum(draft in main for draft in kept) < keep.at_least
    if short and len(kept) < len(audio):
        kept = _fallback(state, keep, kept, main)
    spoken = {language_of(draft.now) for draft in kept if draft in main}
    made = [draft for draft in main if language_of(draft.now) in spoken and _made_by(draft.now, added)]
    stay = {draft.source.index for draft in (*kept, *made)}
    return _without(state, {draft.source.index for draft in audio} - stay)


def _made_by(now: Stream, added: tuple[AddAudio, ...]) -> bool:
    return any(matches(now, (add.codec,)) and now.channels == add.channels for add in added)


def _fallback(state: State, keep: KeepAudio, kept: list[Draft], main: list[Draft]) -> list[Draft]:
    audio = state.of("audio")
    present = ", ".join(dict.fromkeys(language_of(draft.now) for draft in audio))
    if keep.otherwise == "keep_all" or (not main and keep.otherwise != "fail"):
        return list(audio)
    if keep.otherwise == "fail":
        raise Refused(
            f"keep_audio.languages={', '.join(keep.languages)} leaves fewer than at_least={keep.at_least} main audio"
            f" tracks of those in {present}; add a language or otherwise: keep_all"
        )
    first = main[:1]
    if keep.otherwise == "content_language":
        first = [draft for draft in main if language_of(draft.now) == language_of(main[0].now)]
    more = [draft for draft in audio if draft in kept or draft in first]
    if sum(draft in main for draft in more) >= keep.at_least:
        return more
    # as many more as are asked for, in the file's order: at_least is a promise
    for draft in main:
        if sum(one in main for one in more) < keep.at_least and draft not in more:
            more.append(draft)
    return more


def keep_subtitles(state: State, keep: KeepSubtitles) -> State:
    """Drop the subtitles that are not wanted. Forced ones are told by the flag the source has."""

    def stays(draft: Draft) -> bool:
        ways = [keep.commentary] if role(draft.now, state.words) == "commentary" else []
        ways += [keep.forced] if draft.source.forced else []
        if "keep" in ways:
            return True
        return "drop" not in ways and (keep.languages is None or language_of(draft.now) in keep.languages)

    return _without(state, {draft.source.index for draft in state.of("subtitle") if not stays(draft)})


def is_font(stream: Stream) -> bool:
    """Whether an attachment is a font, by its type, else by its name."""
    kind = stream.mimetype.lower()
    by_type = any(word in kind for word in _FONT_TYPES)
    return by_type or stream.codec in {"ttf", "otf"} or stream.filename.lower().endswith(_FONT_NAMES)


def keep_attachments(state: State, way: Attachments) -> State:
    """Drop attachments. Fonts stay by `remove` as long as styled subtitles stay, which would look wrong without."""
    if way == "keep":
        return state
    attached = state.of("attachment")
    fonts = {draft.source.index for draft in attached if is_font(draft.source)}
    styled = any(draft.now.codec in STYLED for draft in state.of("subtitle"))
    stay = fonts if way == "keep_fonts" or (way == "remove" and styled) else set()
    if fonts and styled and way == "remove":
        state = state.warned(
            "attachments=remove: fonts stay, as styled subtitles need them (remove_all drops them too)"
        )
    return _without(state, {draft.source.index for draft in attached} - stay)
