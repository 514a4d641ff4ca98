"""Outcomes as clients see them: JSON of a job, CSV, and the result fields that the seed's clients know."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

from raddle.workloads.classify.batch.outputs import FIELDS, label_fields, output_row
from raddle.workloads.classify.batch.rows import Columns, product_from_row
from raddle.workloads.classify.values import Picture, Product

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import raddle
    from raddle.workloads.classify.service.queries import Item

__all__ = ["csv_lines", "dumps", "late", "outcome_body", "product_of", "public_error", "seed_result"]

_OURS: Final = "raddle.errors.RaddleError"
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def dumps(value: Any) -> str:
    """Return JSON on one line. ASCII, since half a surrogate pair in a name could not be sent otherwise."""
    return _ENCODER.encode(value)


def product_of(item: Item, *, mode: str, columns: Mapping[str, str | None]) -> Product:
    """Return what a provider gets. No path of a client is ever opened: pictures are addresses or uploads."""
    row = json.loads(item.row)
    named = Columns(id=columns.get("id"), name=columns.get("name"), image=columns.get("image"))
    product = product_from_row(row, id=item.id, mode="image" if mode == "image" else "text", columns=named)
    if item.picture is None:
        return product
    return Product(
        id=item.id, name=product.name, text=product.text, picture=Picture(data=item.picture), mode="image", fields=row
    )


def outcome_body(product: Product, outcome: raddle.Outcome, position: int) -> str:
    """Return how an item ended, as JSON."""
    said = label_fields(outcome.value) if outcome.ok else {"error": public_error(outcome)}
    row = output_row(id=product.id, name=product.name, status=outcome.status.value, **said)
    return dumps({"position": position, **row})


def late(outcome: raddle.Outcome) -> bool:
    """Whether an item failed since its time was over: the provider gives up a moment before the run would."""
    return outcome.error is not None and any(name.endswith("TimeoutError") for name in outcome.error.lineage)


def public_error(outcome: raddle.Outcome) -> str:
    """Return the message of an error that is written for clients, else only the kind of it."""
    error = outcome.error
    if error is None:
        return outcome.status.value
    if _OURS in error.lineage or error.type.startswith("raddle."):
        return error.message or error.type.rpartition(".")[2]
    return f"the provider failed: {error.type.rpartition('.')[2]}"


def seed_result(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that clients of the seed's service read, and `id` and `status` beside them."""
    ok = body["status"] == "ok"
    category = body["category"] if ok else "ERROR"
    return {
        "id": body["id"],
        "product_name": body["name"] or "",
        "category": category,
        "predicted_category": category,
        "primary_style": body["primary_style"],
        "secondary_style": body["secondary_style"],
        "style_tags": body["style_tags"],
        "placement_tags": body["placement_tags"],
        "confidence": body["confidence"] if ok else 0.0,
        "reasoning": body["reasoning"] if ok else body["error"],
        "status": body["status"],
        "flags": body["flags"],
    }


def csv_lines(bodies: Iterable[str] | None) -> str:
    """Return outcomes as lines of CSV; None: the line with the names."""
    text = io.StringIO()
    out = csv.DictWriter(text, FIELDS, lineterminator="\n", extrasaction="ignore")
    if bodies is None:
        out.writeheader()
    else:
        out.writerows({name: _cell(value) for name, value in json.loads(body).items()} for body in bodies)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    # half a surrogate pair cannot be written as UTF-8
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
