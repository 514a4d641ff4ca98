"""What the stub of `upstream.py` writes: whole answers, spoilt ones and refusals. aiohttp is imported by the first."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["completion", "label_for", "refusal", "reply", "reply_json", "said_with", "text_of"]

CATEGORY = re.compile(r"category=([A-Za-z_]+)")


def text_of(body: dict[str, Any]) -> str:
    """Return what the user said first."""
    content = next((one["content"] for one in body["messages"] if one["role"] == "user"), "")
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def label_for(body: dict[str, Any], text: str) -> dict[str, Any]:
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}
    offered = schema.get("properties", {}).get("category", {}).get("enum") or ["OTHER"]
    named = CATEGORY.search(text)
    return {"reasoning": "as the stub says", "category": named[1] if named else offered[0], "confidence": 0.9}


def said_with(fault: str, label: dict[str, Any]) -> str:
    if fault == "outside":
        label = {**label, "category": "SPACESHIP"}
    elif fault == "confident":
        label = {**label, "confidence": 17}
    text = json.dumps(label)
    texts = {
        "invalid_json": text[: len(text) // 2],
        "empty": "",
        "prose": f"Well {{as far as I see}}, I would say: {text} I hope this helps {{really}}.",
        "fenced": f"```json\n{text}\n```",
    }
    return texts.get(fault, text)


def completion(text: str) -> str:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 960}
    whole = {"id": "stub", "object": "chat.completion", "model": "stub", "choices": [choice], "usage": usage}
    return json.dumps(whole)


def reply(text: str, kind: str, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    from aiohttp import web

    return web.Response(body=text.encode(), status=status, content_type=kind, headers=headers)


def reply_json(value: object) -> web.Response:
    return reply(json.dumps(value), "application/json")


def refusal(status: int, code: str, message: str) -> web.Response:
    return reply(json.dumps({"error": {"message": message, "code": code}}), "application/json", status=status)
