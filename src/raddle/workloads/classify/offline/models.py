"""The offline models as one: blocking, safe in several threads, loaded at first use."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from raddle.workloads.classify.errors import NoPicture, PictureError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raddle.workloads.classify.offline.pictures import PictureModel
    from raddle.workloads.classify.offline.text import TextModel
    from raddle.workloads.classify.taxonomy import Taxonomy
    from raddle.workloads.classify.values import Label, OfflineModel, Picture, Product

__all__ = ["MARGIN", "PICTURE_MARGIN", "Models", "load_here", "model"]

#: margin of text mode from which an answer may be taken as it is: of the data that thresholds were chosen on, three in
#: four are there, and 95 in 100 of these are right
MARGIN: Final = 0.1
#: of image mode, on a scale of its own: nothing was labelled to choose it on but what is scored, so it is cautious
PICTURE_MARGIN: Final = 0.5

_MOST_BYTES: Final = 50_000_000
# One load of each file for all models of a process; the sessions may be shared by threads.
_LOADING: Final = threading.Lock()


class Models:
    """Labels products in the mode that each one names: `OfflineModel` and more.

    It can be pickled: what was loaded stays behind, and is loaded again at the other end.
    """

    def __init__(self, taxonomy: Taxonomy, load: Callable[[Picture], bytes] | None = None) -> None:
        self._taxonomy = taxonomy
        self._load = load or load_here
        self._text: TextModel | None = None
        self._pictures: PictureModel | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Models, (self._taxonomy, self._load)

    def labels(self, products: Sequence[Product]) -> list[Label]:
        """Return one label for each product.

        Raises:
            PictureError: a picture is missing or broken: the first that is
            ConfigError: a model is not installed, or not the one that was measured
        """
        labels = []
        for outcome in self.outcomes(products):
            if isinstance(outcome, Exception):
                raise outcome
            labels.append(outcome)
        return labels

    def outcomes(self, products: Sequence[Product]) -> list[Label | PictureError]:
        """Return a label for each product, or why there is none: one broken picture does not spoil the others.

        Raises:
            ConfigError: a model is not installed, or not the one that was measured
        """
        found: dict[int, Label | PictureError] = {}
        texts = [place for place, product in enumerate(products) if product.mode == "text"]
        if texts:
            found.update(zip(texts, self._text_model().labels([products[place] for place in texts]), strict=True))
        seen = {}
        for place, product in enumerate(products):
            if product.mode == "image":
                try:
                    seen[place] = self._pixels(product)
                except PictureError as error:
                    found[place] = error
        if seen:
            found.update(zip(seen, self._picture_model().labels(list(seen.values())), strict=True))
        return [found[place] for place in range(len(products))]

    def _pixels(self, product: Product) -> Any:
        from raddle.workloads.classify.offline.pixels import pixels

        if product.picture is None:
            raise NoPicture(f"item {product.id!r} names no picture")
        return pixels(self._load(product.picture))

    def _text_model(self) -> TextModel:
        if self._text is None:
            with _LOADING:
                if self._text is None:
                    from raddle.workloads.classify.offline.text import TextModel

                    self._text = TextModel(self._taxonomy, _encoder())
        return self._text

    def _picture_model(self) -> PictureModel:
        if self._pictures is None:
            with _LOADING:
                if self._pictures is None:
                    from raddle.workloads.classify.offline.pictures import PictureModel

                    self._pictures = PictureModel(self._taxonomy, _efficientnet())
        return self._pictures


def model(taxonomy: Taxonomy, *, load: Callable[[Picture], bytes] | None = None) -> OfflineModel:
    """Return the offline models as one; files are read when the first item needs them.

    Args:
        taxonomy: what to sort into
        load: how to get a picture's bytes, called by `labels`; default: uploads and files
    """
    return Models(taxonomy, load)


def load_here(picture: Picture) -> bytes:
    """Return the bytes of a picture that is an upload or a file here.

    Raises:
        PictureError: it is neither, cannot be read, or is too large
    """
    if picture.data is not None:
        return picture.data
    if picture.path is None:
        raise PictureError("the picture is a link, and nothing was given to fetch it with")
    try:
        with Path(picture.path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PictureError(f"path={picture.path!r} cannot be read: {reason}") from error
    if len(data) > _MOST_BYTES:
        raise PictureError(f"path={picture.path!r}: more than {_MOST_BYTES} bytes; make it smaller")
    return data


@lru_cache(maxsize=1)
def _encoder() -> Any:
    from raddle.workloads.classify.offline.minilm import Encoder

    return Encoder()


@lru_cache(maxsize=1)
def _efficientnet() -> Any:
    from raddle.workloads.classify.offline import efficientnet

    return efficientnet.load()
