"""From margins to confidences: the share of right answers that was seen at a margin.

Measured by `benchmarks/classify_quality.py --calibrate` on data that the published accuracy is not measured on.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

__all__ = ["PICTURE_KNOTS", "TEXT_KNOTS", "confidence"]

#: (margin, share of right answers): 116 written product texts and 376 shoppers' queries together, made monotone
TEXT_KNOTS: Final = (
    (0.0, 0.40),
    (0.035, 0.45),
    (0.075, 0.77),
    (0.125, 0.86),
    (0.2, 0.905),
    (0.275, 0.95),
    (0.35, 0.98),
    (0.5, 0.99),
)
#: (margin, assumed share): not measured, for want of labelled pictures that are not the test: the text's shape, lower
PICTURE_KNOTS: Final = ((0.0, 0.40), (0.1, 0.55), (0.3, 0.75), (0.6, 0.90), (0.9, 0.95))


def confidence(margin: float, knots: tuple[tuple[float, float], ...]) -> float:
    """Return the confidence at `margin`, straight lines between the knots; never falling as the margin grows."""
    place = bisect_right(knots, margin, key=lambda knot: knot[0])
    if place == 0:
        return knots[0][1]
    if place == len(knots):
        return knots[-1][1]
    (left, low), (right, high) = knots[place - 1], knots[place]
    return low + (high - low) * (margin - left) / (right - left)
