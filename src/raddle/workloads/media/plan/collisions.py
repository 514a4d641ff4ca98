"""Results that would meet: two files that become one name, or a name that another file has."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from raddle.workloads.media.plan.values import Plan, Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["collisions"]


def collisions(plans: Iterable[Plan], existing: Collection[str] = ()) -> tuple[Refusal, ...]:
    """Return a refusal for every plan whose result would take another file's place.

    A file that keeps its name owns it. Of several others that want one name none gets it, so that the answer does not
    depend on which comes first.

    Args:
        plans: all plans of a run, also those without changes. Paths are compared as text: give them in one form.
        existing: paths that are taken, whether or not they are part of the run.
    """
    by_target: dict[str, list[Plan]] = defaultdict(list)
    own: set[str] = set(existing)
    for plan in plans:
        own.add(plan.source.path)
        by_target[plan.target].append(plan)
    return tuple(
        refusal
        for target, wanting in by_target.items()
        for plan in wanting
        for refusal in (_refusal(plan, target, wanting, own),)
        if refusal is not None
    )


def _refusal(plan: Plan, target: str, wanting: list[Plan], own: set[str]) -> Refusal | None:
    if plan.source.path == target:
        return None
    rivals = sorted(other.source.path for other in wanting if other is not plan)
    if target in own:
        return Refusal(source=plan.source, reason=f"target={target} is another file; move one of them away first")
    if rivals:
        reason = f"target={target} would also be the result of {', '.join(rivals)}; move or rename one of them"
        return Refusal(source=plan.source, reason=reason)
    return None
