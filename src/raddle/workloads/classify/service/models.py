"""What the OpenAPI document says of requests and answers."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

__all__ = ["JOB_BODY", "REFUSALS", "STREAM", "Health", "JobAnswer", "Jobs", "Ready", "Root", "refusals"]


class Root(BaseModel):
    """GET /."""

    message: str
    version: str
    endpoints: dict[str, str]
    supported_categories: list[str]


class Health(BaseModel):
    """GET /health."""

    status: str
    timestamp: str
    openai_configured: bool
    service: str


class Ready(BaseModel):
    """GET /ready."""

    ready: bool
    #: empty when ready
    reasons: list[str]


class JobAnswer(BaseModel):
    """A job and how far it is."""

    id: str
    #: queued, running, done, cancelled
    state: str
    mode: str
    total: int
    done: int
    ok: int
    failed: int
    eta_seconds: float | None
    #: Unix time
    created: float
    ended: float | None
    links: dict[str, str]


class Jobs(BaseModel):
    """GET /jobs."""

    jobs: list[JobAnswer]


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str | list[dict[str, Any]]


REFUSALS: Final = {
    400: "it cannot be read, or there are no items in it",
    401: "no token, or a wrong one",
    403: "a page of another origin",
    404: "no such job",
    413: "too many items or bytes",
    415: "neither JSON, JSON Lines, CSV nor a form with files",
    422: "a parameter out of range",
    429: "as many unfinished jobs as may be; Retry-After says when to try again",
    503: "as many streams as may be, or not ready",
}

STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of these statuses."""
    return {status: {"model": Refusal, "description": REFUSALS[status]} for status in statuses}


_ROWS: Final = [
    {"id": "A-1", "product_name": "Corner sofa", "tags": "couch, seat"},
    {"id": "A-2", "product_name": "Desk lamp", "image_url": "https://example.org/lamp.jpg"},
]

JOB_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"type": "array", "items": {"type": "object"}, "minItems": 1},
                        {
                            "type": "object",
                            "required": ["data"],
                            "properties": {"data": {"type": "array", "items": {"type": "object"}, "minItems": 1}},
                        },
                    ]
                },
                "example": _ROWS,
            },
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"id": "A-1", "name": "Corner sofa"}\n{"id": "A-2", "name": "Desk lamp"}\n',
            },
            "text/csv": {"schema": {"type": "string"}, "example": "id,name,tags\nA-1,Corner sofa,couch\n"},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "one CSV, JSON Lines or JSON file, or pictures",
                        }
                    },
                }
            },
        },
    }
}
