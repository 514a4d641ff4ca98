"""The JSON Lines of the OpenAI Batch API: the same questions, asked by file, answered within a day for less."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from raddle.errors import ConfigError
from raddle.workloads.classify.errors import FatalAnswer, InvalidAnswer, NoPicture, TransientError, UpstreamError
from raddle.workloads.classify.upstream.answers import Unusable, completion, label_of
from raddle.workloads.classify.upstream.prompt import Prompt
from raddle.workloads.classify.upstream.replies import kind_of
from raddle.workloads.classify.values import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raddle.workloads.classify.taxonomy import Taxonomy
    from raddle.workloads.classify.values import Label, Product

__all__ = ["MOST_BYTES", "MOST_REQUESTS", "BatchAnswer", "from_batch_line", "split_lines", "to_batch_line"]

#: what one file may hold
MOST_REQUESTS: Final = 50_000
MOST_BYTES: Final = 200_000_000


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """One line of an output file: exactly one of label and error."""

    #: the `Product.id` that was asked for
    id: str
    label: Label | None = None
    error: UpstreamError | None = None


def to_batch_line(
    product: Product,
    *,
    model: str,
    taxonomy: Taxonomy | None = None,
    prompt: Prompt | None = None,
    picture: bytes | None = None,
) -> str:
    """Return the request of one product, as one line without its end.

    Args:
        product: its id becomes `custom_id`
        model: as the service calls it
        taxonomy: what may be answered
        prompt: in place of `taxonomy`; make it once for many lines
        picture: JPEG of a product in image mode

    Raises:
        NoPicture: image mode without `picture`
        ConfigError: neither taxonomy nor prompt
    """
    if product.mode == "image" and picture is None:
        raise NoPicture(f"id={product.id!r}: mode='image' needs picture=, the bytes of a JPEG")
    if prompt is None:
        if taxonomy is None:
            raise ConfigError("taxonomy=None, prompt=None: give one of them")
        prompt = Prompt(taxonomy)
    messages = prompt.messages(product, picture if product.mode == "image" else None)
    request = {
        "custom_id": product.id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": prompt.body(model, messages, "json_schema"),
    }
    return json.dumps(request, separators=(",", ":"))


def from_batch_line(line: str, *, taxonomy: Taxonomy) -> BatchAnswer:
    """Return what one line of an output or error file says.

    A category outside the taxonomy gives `OTHER` with the flag "outside_taxonomy": there is nobody to ask again.

    Raises:
        ConfigError: the line is none of a batch's output
    """
    try:
        said = json.loads(line)
        name, response, error = said["custom_id"], said.get("response"), said.get("error")
        if not isinstance(name, str):
            raise TypeError
        if response is None:
            code = str((error or {}).get("code") or "no answer")
            kind = TransientError if code == "batch_expired" else FatalAnswer
            return BatchAnswer(name, error=kind(f"the batch gave no answer ({code[:60]})"))
        status, body = int(response["status_code"]), json.dumps(response["body"]).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise ConfigError(
            f"line={line[:60]!r}: is no line of a batch's output; give the file that the service wrote"
        ) from problem
    kind_ = kind_of(status, {}, body)
    if kind_ != "answered":
        failure = TransientError if kind_ in ("transient", "rejected") else FatalAnswer
        return BatchAnswer(name, error=failure(f"the batch gave HTTP {status}"))
    return _answered(name, response["body"], body, taxonomy)


def _answered(name: str, whole: Any, body: bytes, taxonomy: Taxonomy) -> BatchAnswer:
    try:
        answer = completion(body)
        usage = Usage(1, answer.input_tokens, answer.output_tokens)
        label = label_of(answer, taxonomy, provider=f"openai:{whole.get('model', '')}")
    except Unusable as error:
        if error.outside is None:
            return BatchAnswer(name, error=InvalidAnswer(f"no usable answer: {error}"))
        label = error.outside
    return BatchAnswer(name, label=replace(label, usage=usage))


def split_lines(
    lines: Iterable[str], *, most_requests: int = MOST_REQUESTS, most_bytes: int = MOST_BYTES
) -> Iterator[tuple[int, bytes]]:
    """Yield (file, line with its end): files are numbered from 0, and none holds more than it may. Lazy.

    Raises:
        ConfigError: one line is larger than a file may be
    """
    number = requests = size = 0
    for line in lines:
        data = line.encode() + b"\n"
        if len(data) > most_bytes:
            raise ConfigError(
                f"a line of bytes={len(data)}: more than a file may hold ({most_bytes}); smaller pictures"
            )
        if requests and (requests == most_requests or size + len(data) > most_bytes):
            number, requests, size = number + 1, 0, 0
        requests, size = requests + 1, size + len(data)
        yield number, data
