"""The quick provider first, the thorough one where the quick one is not sure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import raddle
from raddle.errors import ConfigError
from raddle.workloads.classify.errors import UpstreamError

if TYPE_CHECKING:
    from raddle.workloads.classify.values import Label, Product, Provider

__all__ = ["UPSTREAM_FAILED", "Cascade"]

#: flag of a label that is the first provider's because the second failed
UPSTREAM_FAILED: Final = "upstream_failed"


class Cascade:
    """Takes the first provider's label if its margin is at least `margin`, else the second's.

    A label without a margin says nothing of how sure it is, so it goes to the second.

    Args:
        first: asked for every item
        second: asked for the rest
        margin: 0 to 1
        picture_margin: the same in image mode, where margins may be on another scale; default: `margin`
        if_second_fails: "raise" its error, or keep the "first" label with the flag "upstream_failed"
    """

    def __init__(
        self,
        first: Provider,
        second: Provider,
        *,
        margin: float,
        picture_margin: float | None = None,
        if_second_fails: Literal["raise", "first"] = "raise",
    ) -> None:
        for name, value in (("margin", margin), ("picture_margin", picture_margin)):
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name}={value}: must be from 0 (the first always) to 1 (the second nearly always)")
        if if_second_fails not in ("raise", "first"):
            raise ConfigError(f"if_second_fails={if_second_fails!r}: must be 'raise' or 'first'")
        self._first, self._second = first, second
        self._margins = {"text": margin, "image": margin if picture_margin is None else picture_margin}
        self._keep = if_second_fails == "first"
        #: how many labels were the first's and the second's, failures of the second left out
        self.kept = self.passed_on = 0

    async def label(self, product: Product) -> Label:
        """Return the label of one product.

        Raises:
            UpstreamError: what the second raises, unless the first's label is kept then
            PictureError: its picture cannot be had or read
        """
        quick = await self._first.label(product)
        if quick.margin is not None and quick.margin >= self._margins[product.mode]:
            self.kept += 1
            return quick
        try:
            thorough = await self._second.label(product)
        except (UpstreamError, raddle.Rejected):
            if not self._keep:
                raise
            return replace(quick, flags=(*quick.flags, UPSTREAM_FAILED))
        self.passed_on += 1
        return thorough

    async def aclose(self) -> None:
        """Close both."""
        try:
            await self._first.aclose()
        finally:
            await self._second.aclose()
