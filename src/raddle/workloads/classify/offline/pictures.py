"""Image mode: what EfficientNet saw on ImageNet, and what furniture looks like in plain drawings of it.

Two answers are put together, in equal parts. One is the share of the ImageNet classes that belong to a category, with
FLOOR for OTHER. The other comes from a linear head on the 1,280 features before the last layer, which was trained on
nothing but drawings that a program makes of boxes and turned bodies (benchmarks/classify_shapes.py): it knows stools,
ottomans, nightstands and paintings, for which ImageNet has no class. A taxonomy that has few of its categories does
without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from raddle.errors import ConfigError
from raddle.workloads.classify.offline.calibration import PICTURE_KNOTS, confidence
from raddle.workloads.classify.offline.imagenet import CLASS_NAMES
from raddle.workloads.classify.values import OTHER, Label

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from raddle.workloads.classify.taxonomy import Taxonomy

__all__ = ["FLOOR", "PictureModel", "class_table", "unit_roots"]

#: a category needs this share of the probability, or it is OTHER: twenty times what 1,000 classes at random would give
FLOOR: Final = 0.05
#: the head is of use to a taxonomy that knows at least so many of its categories, OTHER aside
_HEAD_LEAST: Final = 8


class PictureModel:
    """Labels pictures; safe in several threads at once.

    Raises:
        ConfigError: no category of the taxonomy is among the ImageNet classes
    """

    def __init__(self, taxonomy: Taxonomy, session: Any) -> None:
        import numpy as np

        table = class_table(taxonomy)
        if not table:
            raise ConfigError(
                "taxonomy: no category says by which ImageNet classes it is known in pictures; "
                f'add pictures = ["..."], of these: {", ".join(sorted(CLASS_NAMES)[:8])}, ... or use --mode text'
            )
        self._names = taxonomy.names
        self._other = self._names.index(OTHER)
        self._session = session
        self._head = _read_head(taxonomy)
        self._class_names: dict[int, str] = {number: name for name, number in CLASS_NAMES.items()}
        self._members = np.zeros((1000, len(self._names)), np.float32)
        for category, numbers in table.items():
            self._members[list(numbers), self._names.index(category)] = 1

    def labels(self, pictures: Sequence[NDArray[np.float32]]) -> list[Label]:
        """Return one label for each array of `pixels`."""
        return [self._label(one) for one in pictures]

    def _label(self, picture: NDArray[np.float32]) -> Label:
        import numpy as np

        # One at a time: on one thread several together take as long, and more memory.
        features, values = self._session.run(["features", "scores"], {"image": picture[None]})
        shares = _softmax(values[0])
        scores = shares @ self._members
        scores[self._other] = max(scores[self._other], FLOOR)
        scores /= scores.sum()
        if self._head is not None:
            scores = (scores + self._head.shares(features[0])) / 2
        best, second = (int(place) for place in np.argsort(-scores, kind="stable")[:2])
        margin = float(scores[best] - scores[second])
        seen = int(shares.argmax())
        return Label(
            category=self._names[best],
            confidence=round(confidence(margin, PICTURE_KNOTS), 3),
            margin=round(margin, 4),
            reasoning=f"ImageNet calls it {self._class_names.get(seen, 'something else')} ({shares[seen]:.0%}).",
            provider="efficientnet",
        )


@dataclass(frozen=True, slots=True)
class _Head:
    """A linear layer over square roots of features, scaled to length 1."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    #: where its categories are in the taxonomy
    places: NDArray[np.intp]
    size: int

    def shares(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        import numpy as np

        scores = np.zeros(self.size, np.float32)
        scores[self.places] = _softmax(unit_roots(features) @ self.weights + self.bias)
        return scores


def unit_roots(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the head takes: roots of the features (they are sums of what is 0 or more), scaled to length 1."""
    import numpy as np

    roots = np.sqrt(np.maximum(features, 0))
    unit: NDArray[np.float32] = roots / np.maximum(np.linalg.norm(roots, axis=-1, keepdims=True), 1e-9)
    return unit


def _read_head(taxonomy: Taxonomy) -> _Head | None:
    """Return the head for those of its categories that the taxonomy has; None where these are too few."""
    import numpy as np

    with (
        resources.files(__package__).joinpath("head.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as kept,
    ):
        names, weights, bias = [str(name) for name in kept["names"]], kept["weights"], kept["bias"]
    known = {place: taxonomy.category(name) for place, name in enumerate(names)}
    columns = [place for place, name in known.items() if name is not None]
    own = [taxonomy.names.index(name) for name in known.values() if name is not None]
    if len(set(own)) != len(own) or len(own) <= _HEAD_LEAST:
        return None
    chosen = weights.astype(np.float32)[:, columns], bias.astype(np.float32)[columns]
    return _Head(*chosen, np.array(own, np.intp), len(taxonomy.names))


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    shares = np.exp(values - values.max())
    total: NDArray[np.float32] = shares / shares.sum()
    return total


def class_table(taxonomy: Taxonomy) -> dict[str, tuple[int, ...]]:
    """Return which ImageNet classes show each category.

    Raises:
        ConfigError: a category names a class that is not known
    """
    table: dict[str, tuple[int, ...]] = {}
    for one in taxonomy.categories:
        names = one.pictures
        if names is None:
            names = tuple(name for name in CLASS_NAMES if taxonomy.category(name) == one.name)
        for name in names:
            if name not in CLASS_NAMES:
                raise ConfigError(f"taxonomy: pictures={name!r} of {one.name} is no ImageNet class known here")
        if names:
            table[one.name] = tuple(CLASS_NAMES[name] for name in names)
    return table
