"""The values that travel between inputs, providers and outputs. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["OTHER", "Label", "Mode", "Picture", "Product", "Provider", "Usage"]

Mode = Literal["text", "image"]
#: the category of what fits none
OTHER: Final = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Where the picture of a product is: exactly one of the three."""

    #: http or https
    url: str | None = None
    path: str | None = None
    #: an upload
    data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One item to label."""

    #: the user's own id, else its place in the input, from 0; unique in a job
    id: str
    #: what a person calls it; "" where nothing is known
    name: str = ""
    #: what is classified in text mode: "Label: value" parts joined by " | "
    text: str = ""
    #: a picture to be classified in image mode
    picture: Picture | None = None
    mode: Mode = "text"
    #: the row as it came, for the output
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an endpoint charged for one item, failed calls included."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a provider says of a product."""

    #: one of the taxonomy's names
    category: str
    #: 0 to 1
    confidence: float
    #: best minus second best score, as far as the provider has scores: what the cascade decides by
    margin: float | None = None
    primary_style: str | None = None
    secondary_style: str | None = None
    style_tags: tuple[str, ...] = ()
    placement_tags: tuple[str, ...] = ()
    #: why, in a sentence
    reasoning: str = ""
    #: who said so: "rules", "minilm", "efficientnet", "openai:MODEL"
    provider: str = ""
    #: whether it came from the cache or from an identical item under way
    cached: bool = False
    #: "outside_taxonomy": the answer was none of the categories, twice; "text_fallback": no picture, so the text
    flags: tuple[str, ...] = ()
    usage: Usage = Usage()


class Provider(Protocol):
    """Labels products; the port that `openai`, `offline` and `cascade` implement."""

    async def label(self, product: Product) -> Label:
        """Return the label of one product.

        Raises:
            raddle.Rejected: the service asks to slow down and nothing else can take the item
            UpstreamError: it could not be labelled; the message holds no secret
            PictureError: its picture cannot be had or read
        """

    async def aclose(self) -> None:
        """Let go of connections, threads and models."""


class OfflineModel(Protocol):
    """What the offline provider and the batch on worker threads call: blocking, safe in several threads at once."""

    def labels(self, products: Sequence[Product]) -> list[Label]:
        """Return one label for each."""
