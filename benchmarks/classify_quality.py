"""How often `raddle classify` is right without any key, on the furniture catalogue, and what it costs.

    python benchmarks/classify_quality.py               accuracy, confusion, margins, ms of CPU, memory
    python benchmarks/classify_quality.py --calibrate   how sure is right, on the texts that thresholds were chosen on
    python benchmarks/classify_quality.py --train-head  draw furniture, and train offline/head.npz on the drawings

Gold labels: classify_gold.toml. Data: RADDLE_DATA, else ../shared/data.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import resource
import time
import tomllib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.classify.offline import MARGIN
from raddle.workloads.classify.offline.models import Models
from raddle.workloads.classify.taxonomy import load_taxonomy
from raddle.workloads.classify.values import OTHER, Label, Picture, Product

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ROOT: Final = Path(__file__).resolve().parents[1]
DATA: Final = Path(os.environ.get("RADDLE_DATA") or ROOT / "../shared/data").resolve() / "furniture"
WRITTEN: Final = ROOT / "tests/workloads/classify/written_products.csv"
HEAD: Final = ROOT / "src/raddle/workloads/classify/offline/head.npz"
AMBIGUOUS: Final = "ambiguous"
#: seeds, each with that many drawings of every category
SEEDS, DRAWINGS = (1, 2), 110
RIDGE, STEPS, RATE = 1e-4, 400, 0.05

Gold = list[tuple[str, Product]]


def gold(kind: str) -> dict[str, str]:
    """Return what each name or query class is."""
    table = tomllib.loads((ROOT / "benchmarks/classify_gold.toml").read_text(encoding="utf-8"))[kind]
    return {name: category for category, names in table.items() for name in names}


def rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def furniture(mode: str) -> tuple[Gold, int]:
    """Return the catalogue's rows with their labels, and how many were left out."""
    known, kept, left = gold("furniture"), [], 0
    for place, row in enumerate(rows(DATA / "furniture.csv")):
        category = known.get(f"{row['name']}|{row['category']}") or known.get(row["name"], OTHER)
        if category == AMBIGUOUS:
            left += 1
            continue
        text = f"Name: {row['name']} | Category: {row['category']} | Tags: {row['tags']}"
        if mode == "text":
            kept.append((category, Product(id=str(place), name=row["name"], text=text)))
        else:
            picture = Picture(path=str(DATA / row["icon"]))
            kept.append((category, Product(id=str(place), mode="image", picture=picture)))
    return kept, left


def written() -> Gold:
    return [(row["category"], Product(id=str(i), text=row["text"])) for i, row in enumerate(rows(WRITTEN))]


def queries() -> Gold:
    known = gold("queries")
    found = enumerate(rows(DATA / "wands_query.tsv", "\t"))
    return [
        (known[row["query_class"]], Product(id=str(i), text=row["query"]))
        for i, row in found
        if row["query_class"] in known
    ]


def share(right: NDArray[np.bool_]) -> str:
    return f"{right.mean():6.1%} ({right.sum()}/{len(right)})" if len(right) else "     - (0/0)"


def report(title: str, data: Gold, labels: Sequence[Label], names: Sequence[str]) -> None:
    meant = np.array([category for category, _ in data])
    said = np.array([label.category for label in labels])
    margins = np.array([label.margin or 0.0 for label in labels])
    right = meant == said
    inside = meant != OTHER
    print(f"\n== {title}: {len(data)} items")
    print(f"furniture categories {share(right[inside])}   OTHER {share(right[~inside])}   all {share(right)}")
    each = [right[meant == name].mean() for name in names if name != OTHER and (meant == name).any()]
    print(f"mean of the furniture categories {np.mean(each):.1%}")
    for name in names:
        wrong = Counter(said[(meant == name) & ~right].tolist())
        if (meant == name).any():
            print(
                f"  {name:10} {share(right[meant == name])}  {', '.join(f'{n} as {c}' for c, n in wrong.most_common())}"
            )
    print("  margin  kept   right of these (all) | (furniture)")
    for margin in sorted({0.0, 0.05, MARGIN, 0.15, 0.195, 0.3, 0.5}):
        kept = margins >= margin
        own = f"{kept[inside].mean():6.1%} {share(right[kept & inside])}"
        print(f"  {margin:.3f} {kept.mean():6.1%}  {share(right[kept])} | {own}")


def measured(models: Models, data: Gold) -> list[Label]:
    products = [product for _, product in data]
    models.labels(products[:1])
    started = time.process_time()
    labels = models.labels(products)
    spent = (time.process_time() - started) / len(products) * 1000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{spent:.1f} ms of CPU per item, peak memory of the process so far {peak:.0f} MB")
    return labels


def calibrate(models: Models) -> None:
    data = written() + queries()
    labels = models.labels([product for _, product in data])
    right = np.array([label.category == category for label, (category, _) in zip(labels, data, strict=True)])
    margins = np.array([label.margin for label in labels])
    sure = np.array([label.confidence for label in labels])
    edges = [0, 0.02, 0.05, 0.1, 0.15, 0.25, 0.3, 0.4, 2]
    for low, high in pairwise(edges):
        here = (margins >= low) & (margins < high)
        said = f"said {sure[here].mean():.1%}"
        print(f"margin {low:.2f} to {high:.2f}: {here.sum():4} items, right {share(right[here])}, {said}")


def train_head() -> None:
    """Train on drawings only; no picture of the catalogue is opened."""
    from classify_shapes import drawings
    from raddle.workloads.classify.offline.efficientnet import load
    from raddle.workloads.classify.offline.pictures import unit_roots
    from raddle.workloads.classify.offline.pixels import pixels

    session, found, meant = load(), [], []
    for seed in SEEDS:
        for name, drawing in drawings(DRAWINGS, seed=seed):
            buffer = io.BytesIO()
            drawing.save(buffer, "PNG")
            found.append(session.run(["features"], {"image": pixels(buffer.getvalue())[None]})[0][0])
            meant.append(name)
    fit_and_keep(unit_roots(np.array(found)), meant)


def fit_and_keep(features: NDArray[Any], meant: Sequence[str]) -> None:
    """Fit a multinomial regression with a ridge, by Adam over all at once (Kingma and Ba 2015)."""
    names = load_taxonomy().names
    target = np.eye(len(names), dtype=np.float32)[[names.index(name) for name in meant]]
    state = np.zeros((features.shape[1] + 1, len(names)), np.float32)
    first, second = np.zeros_like(state), np.zeros_like(state)
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1).astype(np.float32)
    for step in range(1, STEPS + 1):
        values = inputs @ state
        shares = np.exp(values - values.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        slope = inputs.T @ (shares - target) / len(inputs)
        slope[:-1] += RIDGE * state[:-1]
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        state -= RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    np.savez(HEAD, names=np.array(names), weights=state[:-1].astype(np.float16), bias=state[-1].astype(np.float16))
    print(f"{len(features)} drawings -> {HEAD.name}, {HEAD.stat().st_size} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--train-head", action="store_true")
    asked = parser.parse_args()
    if asked.train_head:
        train_head()
        return
    taxonomy = load_taxonomy()
    models = Models(taxonomy)
    if asked.calibrate:
        calibrate(models)
        return
    for mode in ("text", "image"):
        data, left = furniture(mode)
        labels = measured(models, data)
        report(f"furniture catalogue by {mode} ({left} ambiguous rows left out)", data, labels, taxonomy.names)
    for title, data in (
        ("written product texts (thresholds chosen here)", written()),
        ("shoppers' queries (and here)", queries()),
    ):
        report(title, data, models.labels([product for _, product in data]), taxonomy.names)


if __name__ == "__main__":
    main()
