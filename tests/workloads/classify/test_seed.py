"""The seed's usage examples, unchanged but for what stands behind the dots."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import HTTPException

from raddle.workloads.classify import CategoryClassificationRequest, classify_furniture_category
from raddle.workloads.classify.values import Label

if TYPE_CHECKING:
    from starlette.responses import StreamingResponse

    from raddle.workloads.classify.values import Product

TEXT = """
# Submit batch for processing
request = CategoryClassificationRequest(
    data=[{"product_name": "Corner sofa", "tags": "couch, seat"}, {"product_name": "Desk lamp", "tags": "light"}],
    toggle=1     # Text-based classification
)

# API processes items concurrently within each batch
response = await classify_furniture_category(request)
"""
IMAGES = """
# Submit batch with image URLs
request = CategoryClassificationRequest(
    data=[{"product_name": "Sofa", "Product_URL": "http://127.0.0.1:9/sofa.jpg"}],  # List with Product_URL fields
    toggle=0     # Image-based classification
)

# Images are downloaded and processed concurrently
response = await classify_furniture_category(request)
"""


class Named:
    def __init__(self) -> None:
        self.given_up = 0

    async def label(self, product: Product) -> Label:
        if product.name == "slow":
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up += 1
        return Label(category="SOFA", confidence=1.0, reasoning=product.name, provider="fake")

    async def aclose(self) -> None:
        pass


async def events(response: StreamingResponse) -> list[dict[str, Any]]:
    text = "".join([chunk.decode() async for chunk in response.body_iterator])
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def example(source: str) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        names: dict[str, Any] = {
            "CategoryClassificationRequest": CategoryClassificationRequest,
            "classify_furniture_category": classify_furniture_category,
        }
        body = "".join(f"    {line}\n" for line in source.splitlines())
        exec(f"async def play():\n{body}    return response\n", names)
        return await events(await names["play"]())

    return asyncio.run(run())


def test_the_text_example_runs_offline() -> None:
    first, last = example(TEXT)
    assert (first["batch_id"], first["processing_type"]) == (1, "text_multithreaded")
    assert [one["category"] for one in first["results"]] == ["SOFA", "LIGHTING"]
    assert (last["processing_type"], last["total_processed"]) == ("complete", 2)


def test_the_image_example_runs_offline() -> None:
    first, last = example(IMAGES)
    assert (first["batch_id"], first["processing_type"]) == (1, "image_multithreaded")
    (result,) = first["results"]  # an address of this machine itself is refused, and that is the item's own error
    assert (result["category"], result["status"]) == ("ERROR", "failed")
    assert (last["processing_type"], last["total_processed"]) == ("complete", 1)


@pytest.mark.parametrize(("data", "toggle"), [([], 1), ([{"name": "a"}], 7), ([{"name": "a"}], 0)])
def test_what_cannot_be_done_is_a_400(data: list[dict[str, Any]], toggle: int) -> None:
    request = CategoryClassificationRequest(data=data, toggle=toggle)
    with pytest.raises(HTTPException) as refused:
        asyncio.run(classify_furniture_category(request))
    assert refused.value.status_code == 400


def test_a_stream_that_is_left_ends_its_work() -> None:
    provider = Named()

    async def run() -> None:
        data = [{"name": "slow"}, *({"name": str(number)} for number in range(14))]
        request = CategoryClassificationRequest(data=data, toggle=1)
        response = await classify_furniture_category(request, provider=provider)
        chunks = response.body_iterator
        assert json.loads((await anext(chunks)).decode()[6:])["batch_id"] == 2
        await chunks.aclose()

    asyncio.run(run())
    assert provider.given_up == 1
