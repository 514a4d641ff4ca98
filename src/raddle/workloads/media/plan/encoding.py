"""What is encoded anew, and how: video, audio, add_audio. What already fits is never touched, nothing grows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from raddle.workloads.media.plan.asking import holds, language_of, selects
from raddle.workloads.media.plan.drafts import Draft, Refused, encoded
from raddle.workloads.media.plan.keeping import left_alone
from raddle.workloads.media.plan.roles import role
from raddle.workloads.media.plan.values import Encode
from raddle.workloads.media.plan.words import stream_name
from raddle.workloads.media.policy.codecs import MOST_CHANNELS, matches

if TYPE_CHECKING:
    from raddle.workloads.media.plan.drafts import State
    from raddle.workloads.media.policy.values import AddAudio, Audio, Languages, Video
    from raddle.workloads.media.values import Stream

__all__ = ["add_audio", "audio", "audio_encode", "video"]

_TITLES: Final = {1: "Mono", 2: "Stereo", 6: "5.1", 8: "7.1"}


def _options(**values: object) -> tuple[tuple[str, str], ...]:
    """Return options by name, without those that say nothing."""
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    return tuple(sorted((name, text) for name, text in texts.items() if values[name] is not None))


def video(state: State, wish: Video) -> State:
    """Encode the moving pictures that have another codec or are too large; covers are never encoded."""
    if state.skip_video or (wish.unless is not None and holds(wish.unless, state.file, state.words)):
        return state
    changed: dict[int, Draft] = {}
    for place, draft in enumerate(state.drafts):
        now = draft.now
        if now.kind != "video" or now.picture:
            continue
        size = _fitted(now, wish)
        if size is None and matches(now, (wish.to, *wish.copy)):
            continue
        if left := left_alone(state.file, draft, wish):
            state = state.warned(left)
            continue
        _check_turn(state, draft)
        encode = Encode(to=wish.to, options=_picture_options(now, wish, size))
        changed[place] = replace(draft, now=encoded(now, encode), encode=encode)
    return state.each(changed)


def _check_turn(state: State, draft: Draft) -> None:
    if (draft.now.rotation or 0) % 90:
        raise Refused(
            f"{stream_name(state.file, draft.source)} is turned by {draft.now.rotation} degrees: encoded upright it"
            " would lose its corners; leave it out with video.unless"
        )


def _fitted(now: Stream, wish: Video) -> tuple[int, int] | None:
    """Return the even width and height within the limits; None: it fits, or its size is not known."""
    if not now.width or not now.height:
        return None
    share = min([1.0, *(most / have for most, have in _limits(now, wish) if most)])
    if share >= 1.0:
        return None
    width, height = (
        max(2, min(round(have * share / 2) * 2, most // 2 * 2 if most else have)) for most, have in _limits(now, wish)
    )
    return width, height


def _limits(now: Stream, wish: Video) -> tuple[tuple[int | None, int], tuple[int | None, int]]:
    return (wish.max_width, now.width or 0), (wish.max_height, now.height or 0)


def _picture_options(now: Stream, wish: Video, size: tuple[int, int] | None) -> tuple[tuple[str, str], ...]:
    hardware = wish.hardware != "none"
    static = now.hdr is not None and now.hdr.static
    return _options(
        crf=wish.crf,
        bitrate=wish.bitrate,
        max_bitrate=wish.max_bitrate,
        preset=wish.preset,
        tune=wish.tune,
        two_pass=wish.two_pass or None,
        threads=wish.threads,
        hardware=wish.hardware if hardware else None,
        hardware_fallback=wish.hardware_fallback if hardware else None,
        max_width=wish.max_width if size else None,
        max_height=wish.max_height if size else None,
        width=size[0] if size else None,
        height=size[1] if size else None,
        hdr="keep" if static and wish.hdr != "lose" else None,
        deinterlace=True if now.interlaced and wish.interlaced == "deinterlace" else None,
    )


def audio_encode(now: Stream, to: str, bitrate: int | None, channels: int | None = None) -> Encode:
    """Return how a sound stream is encoded; more channels than the codec has are mixed down."""
    have = now.channels
    most = MOST_CHANNELS[to]
    count = channels if channels is not None else (most if have is not None and have > most else None)
    return Encode(to=to, options=_options(bitrate=None if to == "flac" else bitrate, channels=count))


def audio(state: State, wish: Audio) -> State:
    """Encode the sound that has neither the wanted codec nor one of `copy`."""
    if state.skip_audio or (wish.unless is not None and holds(wish.unless, state.file, state.words)):
        return state
    changed: dict[int, Draft] = {}
    for place, draft in enumerate(state.drafts):
        if draft.now.kind != "audio" or matches(draft.now, (wish.to, *wish.copy)):
            continue
        encode = audio_encode(draft.now, wish.to, wish.bitrate)
        changed[place] = replace(draft, now=encoded(draft.now, encode), encode=encode)
        if encode.option("channels"):
            count = encode.option("channels")
            state = state.warned(f"audio.to={wish.to} holds {count} channels at most; a stream with more is mixed down")
    return state.each(changed)


def add_audio(state: State, wish: AddAudio, languages: Languages) -> State:
    """Add a track made of another, unless there is one like it. Nothing is mixed up: too few channels add nothing."""
    chosen = _source(state, wish, languages)
    if chosen is None or _exists(state, wish, chosen):
        return state
    encode = audio_encode(chosen.source, wish.codec, wish.bitrate, wish.channels)
    title = wish.title if wish.title is not None else _TITLES.get(wish.channels, f"{wish.channels} channels")
    now = replace(encoded(chosen.now, encode), title=title, default=False, forced=False)
    new = Draft(source=chosen.source, now=now, encode=encode, added=True)
    places = [place for place, draft in enumerate(state.drafts) if draft.now.kind == "audio"]
    after = state.drafts.index(chosen) if wish.position == "after_source" else places[-1]
    return replace(state, drafts=(*state.drafts[: after + 1], new, *state.drafts[after + 1 :]))


def _source(state: State, wish: AddAudio, languages: Languages) -> Draft | None:
    order = wish.source.languages or languages.audio
    roles = {"main", "commentary"} if wish.source.commentary else {"main"}
    fit = [
        (place, draft)
        for place, draft in enumerate(state.of("audio"))
        if (draft.source.channels or 0) >= wish.channels
        and not draft.added
        and role(draft.now, state.words) in roles
        and (not wish.source.codecs or matches(draft.source, wish.source.codecs))
        and (not wish.source.languages or language_of(draft.now) in wish.source.languages)
    ]

    def key(item: tuple[int, Draft]) -> tuple[int, int, int]:
        place, draft = item
        language = language_of(draft.now)
        rank = order.index(language) if language in order else len(order)
        return rank, -(draft.source.channels or 0) if wish.source.most_channels else 0, place

    return min(fit, key=key)[1] if fit else None


def _exists(state: State, wish: AddAudio, chosen: Draft) -> bool:
    def alike(now: Stream) -> bool:
        same = matches(now, (wish.codec,)) and now.channels == wish.channels
        return same and language_of(now) == language_of(chosen.now)

    named = replace(wish.unless_exists, kind="audio") if wish.unless_exists else None
    return any(
        alike(draft.now) or (named is not None and selects(named, draft.now, state.words))
        for draft in state.of("audio")
    )
