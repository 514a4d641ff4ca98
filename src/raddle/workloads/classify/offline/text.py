"""Text mode: keyword rules and sentence vectors, put together.

score(category) = (nearest phrase + centroid of its phrases) / 2 + BONUS * strength of the rules

where the first two are cosines with the product's text. What belongs to OTHER has nothing in common, so there it is the
nearest phrase alone, and never less than FLOOR: what is near nothing is OTHER too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from raddle.workloads.classify.offline.calibration import TEXT_KNOTS, confidence
from raddle.workloads.classify.offline.rules import Keywords, Reading, read
from raddle.workloads.classify.taxonomy import plain
from raddle.workloads.classify.values import OTHER, Label

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from raddle.workloads.classify.offline.minilm import Encoder
    from raddle.workloads.classify.taxonomy import Style, Taxonomy
    from raddle.workloads.classify.values import Product

__all__ = ["BONUS", "FLOOR", "TextModel"]

#: chosen on tests/workloads/classify/written_products.csv and wands_query.tsv, not on the furniture catalogue
BONUS: Final = 0.2
FLOOR: Final = 0.33
#: characters of a text that are looked at: the model reads 96 tokens of them
_READ: Final = 1_000
_STYLE_TAGS, _PLACEMENTS = 4, 3


class TextModel:
    """Labels products by their texts; safe in several threads at once."""

    def __init__(self, taxonomy: Taxonomy, encoder: Encoder) -> None:
        import numpy as np

        self._names = taxonomy.names
        self._other = self._names.index(OTHER)
        self._keywords = Keywords(taxonomy)
        self._encoder = encoder
        phrases = [one.phrases or (plain(one.name),) for one in taxonomy.categories]
        vectors = encoder.embed([phrase for own in phrases for phrase in own])
        ends = np.cumsum([len(own) for own in phrases])
        self._phrases: list[NDArray[np.float32]] = np.split(vectors, ends[:-1])
        centroids = np.stack([own.mean(axis=0) for own in self._phrases])
        self._centroids = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)

    def labels(self, products: Sequence[Product]) -> list[Label]:
        """Return one label for each product, from its name and text."""
        readings = [read(product) for product in products]
        vectors = self._encoder.embed([_text(reading)[:_READ] for reading in readings])
        scores = self._similarities(vectors)
        return [self._label(reading, row) for reading, row in zip(readings, scores, strict=True)]

    def _similarities(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        import numpy as np

        nearest = np.stack([(vectors @ own.T).max(axis=1) for own in self._phrases], axis=1)
        scores: NDArray[np.float32] = (nearest + vectors @ self._centroids.T) / 2
        scores[:, self._other] = nearest[:, self._other]
        return scores

    def _label(self, reading: Reading, similarities: NDArray[np.float32]) -> Label:
        import numpy as np

        if not _text(reading).strip():
            return Label(category=OTHER, confidence=0.0, margin=0.0, reasoning="There is no text.", provider="rules")
        strengths = self._keywords.strengths(reading)
        scores = similarities.copy()
        for name, strength in strengths.items():
            scores[self._names.index(name)] += BONUS * strength
        scores[self._other] = max(scores[self._other], FLOOR)
        best, second = (int(place) for place in np.argsort(-scores, kind="stable")[:2])
        margin = float(scores[best] - scores[second])
        label = Label(
            category=self._names[best],
            confidence=round(confidence(margin, TEXT_KNOTS), 3),
            margin=round(margin, 4),
            reasoning=_reason(self._names[best], self._names[second], strengths, float(similarities[best])),
            provider="minilm",
        )
        return _styled(label, self._keywords.styles(reading))


def _text(reading: Reading) -> str:
    return ", ".join(part for part in (reading.name, reading.kind, reading.rest) if part)


def _reason(best: str, second: str, strengths: dict[str, float], similarity: float) -> str:
    if strengths.get(best, 0.0) >= 1.0:
        return f"Its name says {best}."
    if best in strengths:
        return f"A word of it says {best}; {second} is next."
    if best == OTHER:
        return f"It is near none of the categories; {second} is next."
    return f"It reads most like {best} (cosine {similarity:.2f}); {second} is next."


def _styled(label: Label, styles: list[tuple[Style, list[str]]]) -> Label:
    """Add the style that words of the text give away, if any do."""
    if not styles:
        return label
    style, words = styles[0]
    return replace(
        label,
        primary_style=style.name,
        secondary_style=styles[1][0].name if len(styles) > 1 else None,
        style_tags=tuple(dict.fromkeys((*words, *style.tags)))[:_STYLE_TAGS],
        placement_tags=style.placements[:_PLACEMENTS],
    )
