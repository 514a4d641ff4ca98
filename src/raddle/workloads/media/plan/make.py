"""One plan for one file by one step of a policy. Nothing is read, nothing is written."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from raddle.workloads.media.plan.asking import holds
from raddle.workloads.media.plan.containers import SUFFIXES, contained, tags_of_mp4
from raddle.workloads.media.plan.drafts import Refused, begun, natural
from raddle.workloads.media.plan.encoding import add_audio, audio, video
from raddle.workloads.media.plan.flags import clear, defaults, mp4_defaults
from raddle.workloads.media.plan.keep import keep_attachments, keep_audio, keep_subtitles
from raddle.workloads.media.plan.order import ordered
from raddle.workloads.media.plan.predict import predict
from raddle.workloads.media.plan.ruling import apply_rules
from raddle.workloads.media.plan.telling import because
from raddle.workloads.media.plan.values import Method, Output, Plan, Refusal, Skip
from raddle.workloads.media.plan.words import changed_order, output_changes, tag_changes

if TYPE_CHECKING:
    from raddle.workloads.media.plan.drafts import Drafts, State
    from raddle.workloads.media.policy.values import Policy, Step
    from raddle.workloads.media.values import MediaFile

__all__ = ["make_plan", "preview"]

#: how often a result is planned again until nothing changes any more
_MAX_ROUNDS = 5
_LONGEST_NAME = 255


def make_plan(file: MediaFile, step: Step, policy: Policy) -> Plan | Skip | Refusal:
    """Return what the step makes of the file.

    What the step would do to its own result is part of the plan, so that a second run has nothing to do. A step that
    would take further streams away then, or encode twice, or never come to an end, is refused: it contradicts itself.
    """
    plan = _once(file, step, policy)
    return _settled(plan, step, policy) if isinstance(plan, Plan) and plan.changes else plan


def _settled(plan: Plan, step: Step, policy: Policy) -> Plan | Refusal:
    """Plan what the plan gives until that changes nothing; refuse where it would not come to that unharmed."""
    file, again = plan.source, plan.changes
    for _ in range(_MAX_ROUNDS):
        after = _once(predict(plan), step, policy)
        if isinstance(after, Refusal):
            return Refusal(source=file, reason=f"the next run would refuse the result: {after.reason}")
        if isinstance(after, Skip) or not after.changes:
            return plan
        again = after.changes
        if len(after.outputs) != len(plan.outputs) or after.method == "encode" or after.container != plan.container:
            break
        plan = _joined(plan, after)
        if not plan.changes:
            break
    return Refusal(
        source=file,
        reason=f"the step undoes its own work on this file: the next run would do: {'; '.join(again[:3])};"
        " change what contradicts, or split the step",
    )


def preview(file: MediaFile, policy: Policy) -> tuple[Plan | Skip | Refusal, ...]:
    """Return what each step will do, every one planned on what the one before is predicted to give (for dry runs).

    Ends with the first refusal.
    """
    results: list[Plan | Skip | Refusal] = []
    for step in policy.steps:
        result = make_plan(file, step, policy)
        results.append(result)
        if isinstance(result, Refusal):
            break
        file = predict(result) if isinstance(result, Plan) else file
    return tuple(results)


def _once(file: MediaFile, step: Step, policy: Policy) -> Plan | Skip | Refusal:
    if step.skip_if is not None and holds(step.skip_if, file, policy.words):
        return Skip(source=file, reason=f"skip_if: {because(step.skip_if, file, policy.words)}")
    try:
        state = _operated(begun(file, policy.words), step, policy)
        return _planned(state, step)
    except Refused as error:
        return Refusal(source=file, reason=str(error))


def _operated(state: State, step: Step, policy: Policy) -> State:
    """Do the operations that the step names, in the one order there is."""
    if step.keep_audio:
        state = keep_audio(state, step.keep_audio, step.add_audio)
    if step.keep_subtitles:
        state = keep_subtitles(state, step.keep_subtitles)
    state = keep_attachments(state, step.attachments)
    if step.clear:
        state = clear(state, step.clear)
    if step.defaults:
        state = defaults(state, step.defaults, policy.languages)
    if step.rules:
        state = apply_rules(state, step.rules)
    return _changed_streams(state, step, policy)


def _changed_streams(state: State, step: Step, policy: Policy) -> State:
    if step.video:
        state = video(state, step.video)
    if step.audio:
        state = audio(state, step.audio)
    for wish in step.add_audio:
        state = add_audio(state, wish, policy.languages)
    if step.container:
        state = contained(state, step.container)
    return ordered(state, step.order, policy.languages) if step.order else state


def _outputs(drafts: Drafts) -> tuple[Output, ...]:
    return tuple(
        Output(
            source=draft.source.index,
            kind=draft.now.kind,
            codec=draft.encode,
            language=draft.now.language,
            title=draft.now.title,
            default=draft.now.default,
            forced=draft.now.forced,
            dispositions=draft.now.dispositions,
            added=draft.added,
        )
        for draft in drafts
    )


def _order(file: MediaFile) -> tuple[int, ...]:
    return tuple(stream.index for stream in natural(file))


def _planned(state: State, step: Step) -> Plan:
    file = state.file
    container = step.container.to if step.container else file.container
    order = _order(file)
    target = _target(file.path, container) if step.container else file.path

    def changes(state: State) -> tuple[str, ...]:
        own = output_changes(file, order, _outputs(state.drafts), container=container, target=target)
        return (*own, *tag_changes(file.tags, tuple(state.tags.items())))

    if container == "mp4":
        state = _tagged_as_mp4(state, written=False)
    found = changes(state)
    if found and container == "mp4":
        state = _tagged_as_mp4(replace(state, drafts=mp4_defaults(state.drafts)), written=True)
        found = changes(state)
    outputs, tags = _outputs(state.drafts), tuple(state.tags.items())
    if not found:
        return _nothing(file, state)
    if container not in SUFFIXES:
        raise Refused(f"container={container} cannot be written; add container: {{to: mkv}} to the step")
    if not state.drafts:
        raise Refused("the step leaves no stream at all")
    return Plan(
        source=file,
        container=container,
        target=target,
        outputs=outputs,
        chapters=bool(file.chapters),
        tags=tags,
        changes=found,
        method=_method(file, outputs, container=container, target=target, tags=tags),
        warnings=state.warnings,
    )


def _tagged_as_mp4(state: State, *, written: bool) -> State:
    """Take away the tags that MP4 has no place for: with each run they would be set, and gone, again."""
    tags = tags_of_mp4(state.tags, dict(state.file.tags), written=written)
    lost = sorted(state.tags.keys() - tags.keys())
    state = replace(state, tags=tags)
    return state.warned(f"MP4 has no place for the tags {', '.join(lost)}") if lost else state


def _nothing(file: MediaFile, state: State) -> Plan:
    return Plan(
        source=file,
        container=file.container,
        target=file.path,
        outputs=_outputs(begun(file, state.words).drafts),
        chapters=bool(file.chapters),
        tags=file.tags,
        changes=(),
        method="none",
        warnings=state.warnings,
    )


def _method(
    file: MediaFile,
    outputs: tuple[Output, ...],
    *,
    container: str,
    target: str,
    tags: tuple[tuple[str, str], ...],
) -> Method:
    if any(output.codec is not None and output.kind != "subtitle" for output in outputs):
        return "encode"
    order = _order(file)
    same_streams = len(outputs) == len(order) and not changed_order(file, order, outputs)
    plain = same_streams and not any(output.codec or output.added for output in outputs)
    same_file = container == file.container == "mkv" and target == file.path
    return "headers" if plain and same_file and _only_title(file.tags, tags) else "remux"


def _only_title(before: tuple[tuple[str, str], ...], after: tuple[tuple[str, str], ...]) -> bool:
    """Whether at most the title of the file differs, which Matroska keeps apart from the tags."""
    rest = [{name: text for name, text in tags if name.casefold() != "title"} for tags in (before, after)]
    return rest[0] == rest[1]


def _target(path: str, container: str) -> str:
    """Return the path with a suffix that names the container; a right one, whatever its case, stays."""
    stem, suffix = os.path.splitext(path)  # noqa: PTH122 - paths are text here, perhaps not UTF-8
    target = path if suffix.lower() in SUFFIXES[container] else stem + SUFFIXES[container][0]
    name = os.path.basename(target)  # noqa: PTH119 - as above
    if len(os.fsencode(name)) > _LONGEST_NAME:
        raise Refused(f"the name would be longer than {_LONGEST_NAME} bytes: {name[:40]}…; rename the file")
    return target


def _joined(first: Plan, second: Plan) -> Plan:
    """Return one plan for what two would do one after the other; the second copies streams only."""
    outputs = tuple(_both(first.outputs[output.source], output) for output in second.outputs)
    order = _order(first.source)
    own = output_changes(first.source, order, outputs, container=second.container, target=second.target)
    changes = (*own, *tag_changes(first.source.tags, second.tags))
    joined = replace(first, outputs=outputs, tags=second.tags, target=second.target, changes=changes)
    method = _method(first.source, outputs, container=joined.container, target=joined.target, tags=joined.tags)
    return replace(joined, method=method)


def _both(first: Output, second: Output) -> Output:
    return replace(second, source=first.source, codec=second.codec or first.codec, added=first.added or second.added)
