"""In which order tracks stand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raddle.workloads.media.plan.asking import language_of
from raddle.workloads.media.plan.drafts import stands_last
from raddle.workloads.media.plan.roles import for_hearing_impaired, role

if TYPE_CHECKING:
    from raddle.workloads.media.plan.drafts import Draft, State
    from raddle.workloads.media.policy.values import Languages

__all__ = ["ordered"]


def _classes(state: State, draft: Draft) -> tuple[str, ...]:
    """Return the classes of a track, the most special first."""
    now = draft.now
    what = role(now, state.words)
    special = [f"{now.kind}_{what}"] if what != "main" else []
    if now.kind == "subtitle":
        special += ["subtitle_forced"] if now.forced else []
        special += ["subtitle_hearing_impaired"] if for_hearing_impaired(now) else []
    return *special, now.kind


def ordered(state: State, order: tuple[str, ...], languages: Languages) -> State:
    """Sort: by the first class of a track that is listed, by preferred language, then as it was.

    Tracks of no listed class follow in the order they had. Covers, fonts and data stand last in every file.
    """
    preferred = {"audio": languages.audio, "subtitle": languages.subtitles}

    def key(item: tuple[int, Draft]) -> tuple[bool, int, int, int]:
        place, draft = item
        if stands_last(draft.now):
            return True, 0, 0, place
        rank = next((order.index(name) for name in _classes(state, draft) if name in order), len(order))
        wanted = preferred.get(draft.now.kind, ()) if rank < len(order) else ()
        language = language_of(draft.now)
        return False, rank, wanted.index(language) if language in wanted else len(wanted), place

    return replace(state, drafts=tuple(draft for _, draft in sorted(enumerate(state.drafts), key=key)))
