"""What a model's answer says: strict about what it means, patient about what stands around it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from raddle.workloads.classify.values import OTHER, Label

if TYPE_CHECKING:
    from raddle.workloads.classify.taxonomy import Taxonomy

__all__ = ["OUTSIDE", "Completion", "Unusable", "completion", "label_of"]

#: flag of a label whose category was none of the taxonomy's, twice
OUTSIDE: Final = "outside_taxonomy"
#: places in the prose where an object may begin that are tried
_TRIES: Final = 16
_TAGS, _TAG, _REASONING = 10, 60, 500


class Unusable(ValueError):
    """An answer that must be asked for again; the message is for the model.

    Args:
        complaint: what was wrong
        outside: a label of `OTHER`, if all is well but the category
    """

    def __init__(self, complaint: str, *, outside: Label | None = None) -> None:
        super().__init__(complaint)
        self.outside = outside


@dataclass(frozen=True, slots=True)
class Completion:
    """The part of a chat completion that matters."""

    #: "" where there is none
    text: str
    input_tokens: int
    output_tokens: int
    #: "stop", "length", "content_filter", "refusal"
    finish: str


def completion(body: bytes) -> Completion:
    """Return what the body of a chat completion holds.

    Raises:
        Unusable: it is none
    """
    try:
        whole = json.loads(body)
        choice = whole["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
        usage = whole.get("usage") or {}
        finish = "refusal" if refusal else str(choice.get("finish_reason") or "stop")
        return Completion(
            text if isinstance(text, str) else "",
            _count(usage.get("prompt_tokens")),
            _count(usage.get("completion_tokens")),
            finish,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise Unusable("the body is no chat completion") from error


def label_of(answer: Completion, taxonomy: Taxonomy, *, provider: str) -> Label:
    """Return the label that the answer gives.

    Raises:
        Unusable: no JSON object with a category and a confidence in it, or a category outside the taxonomy
    """
    if answer.finish in ("content_filter", "refusal"):
        raise Unusable("it was refused; this is a harmless product of a furniture shop")
    found = _object(answer.text)
    if found is None:
        cut = " (it was cut off: be shorter)" if answer.finish == "length" else ""
        raise Unusable(f"there is no JSON object with a category in it{cut}")
    said, confidence = found.get("category"), found.get("confidence")
    if not isinstance(said, str):
        raise Unusable("category must be a string")
    if isinstance(confidence, bool) or not isinstance(confidence, (int, float)) or math.isnan(confidence):
        raise Unusable("confidence must be a number from 0 to 1")
    name = taxonomy.category(said)
    label = Label(
        category=OTHER if name is None else name,
        confidence=float(min(max(confidence, 0), 1)),
        primary_style=_style(found.get("primary_style"), taxonomy),
        secondary_style=_style(found.get("secondary_style"), taxonomy),
        style_tags=_tags(found.get("style_tags")),
        placement_tags=_tags(found.get("placement_tags")),
        reasoning=_line(found.get("reasoning"), _REASONING),
        provider=provider,
        flags=() if name is not None else (OUTSIDE,),
    )
    if name is None:
        short = _line(said, _TAG)
        raise Unusable(f"{json.dumps(short)} is not one of {', '.join(taxonomy.names)}", outside=label)
    return label


def _object(text: str) -> dict[str, Any] | None:
    """Return the first JSON object with a category: the whole text, or somewhere in a fence or in prose."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    start = -1
    for _ in range(_TRIES):
        start = text.find("{", start + 1)
        if start < 0:
            return None
        try:
            found, _end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and "category" in found:
            return found
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _style(said: object, taxonomy: Taxonomy) -> str | None:
    if not isinstance(said, str):
        return None
    wanted = said.strip().casefold()
    return next((one.name for one in taxonomy.styles if one.name.casefold() == wanted), None)


def _tags(said: object) -> tuple[str, ...]:
    if not isinstance(said, list):
        return ()
    lines = (_line(one, _TAG) for one in said)
    return tuple(dict.fromkeys(line for line in lines if line))[:_TAGS]


def _line(said: object, longest: int) -> str:
    return " ".join(said.split())[:longest] if isinstance(said, str) else ""


def _count(said: object) -> int:
    return max(0, said) if isinstance(said, int) else 0
