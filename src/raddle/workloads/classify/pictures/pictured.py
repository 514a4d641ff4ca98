"""A provider whose products have their pictures already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from raddle.workloads.classify.errors import PictureError
from raddle.workloads.classify.values import Picture

if TYPE_CHECKING:
    from raddle.workloads.classify.pictures.loading import Loader
    from raddle.workloads.classify.values import Label, Product, Provider

__all__ = ["TEXT_FALLBACK", "Pictured"]

#: flag of a label that comes from the text, since there was no picture
TEXT_FALLBACK: Final = "text_fallback"


class Pictured:
    """Loads the picture of each product, then lets `provider` label it.

    What is inside, a cache too, sees the picture's bytes and never an address: two shops' copies of one picture are
    one, and an address whose picture has changed is two.

    Args:
        provider: what labels; closed with this one
        loader: likewise
        text_fallback: label by text what has no picture that can be had
    """

    def __init__(self, provider: Provider, loader: Loader, *, text_fallback: bool = False) -> None:
        self._provider, self._loader, self._text_fallback = provider, loader, text_fallback

    async def label(self, product: Product) -> Label:
        """Return the label of one product.

        Raises:
            raddle.Rejected, UpstreamError: as the provider
            PictureError: its picture cannot be had or read
        """
        if product.mode == "text":
            return await self._provider.label(product)
        try:
            data = await self._loader.load(product.picture)
            return await self._provider.label(replace(product, picture=Picture(data=data)))
        except PictureError:
            if not (self._text_fallback and product.text):
                raise
        label = await self._provider.label(replace(product, mode="text", picture=None))
        return replace(label, flags=(*label.flags, TEXT_FALLBACK))

    async def aclose(self) -> None:
        """Close what is inside."""
        try:
            await self._provider.aclose()
        finally:
            await self._loader.aclose()
