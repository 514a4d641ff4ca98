"""What a probe of a plan's result will say, without running it: for dry runs of several steps, and to check plans."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raddle.workloads.media.plan.drafts import encoded

if TYPE_CHECKING:
    from raddle.workloads.media.plan.values import Output, Plan
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = ["predict"]


def predict(plan: Plan) -> MediaFile:
    """Return the result as a probe will find it. Sizes, times and identity are the source's: they are not known."""
    if not plan.changes:
        return plan.source
    source = {stream.index: stream for stream in plan.source.streams}
    return replace(
        plan.source,
        path=plan.target,
        container=plan.container,
        streams=tuple(_stream(place, source[one.source], one) for place, one in enumerate(plan.outputs)),
        chapters=plan.source.chapters if plan.chapters else (),
        tags=plan.tags,
    )


def _stream(place: int, source: Stream, output: Output) -> Stream:
    stream = source if output.codec is None else encoded(source, output.codec)
    return replace(
        stream,
        index=place,
        language=output.language,
        title=output.title,
        default=output.default,
        forced=output.forced,
        dispositions=output.dispositions,
    )
