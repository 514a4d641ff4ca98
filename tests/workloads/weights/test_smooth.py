"""The smoother, against the joint solution and against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("numba")

from raddle.workloads.weights import smooth  # noqa: E402 - after importorskip
from raddle.workloads.weights.rules import load_rules  # noqa: E402
from raddle.workloads.weights.smooth import Motion, Readings, smoothed  # noqa: E402
from raddle.workloads.weights.truth import truth  # noqa: E402
from raddle.workloads.weights.values import DAY  # noqa: E402

if TYPE_CHECKING:
    from raddle.workloads.weights.truth import Truth

MOTION = Motion(0.0012, 0.0004, 40.0, 10.0, 0.16, 4.0)


def readings(stages: list[int], resets: list[int], seed: int) -> Readings:
    chance = np.random.default_rng(seed)
    count = len(stages)
    return Readings(
        np.cumsum(chance.integers(0, 5 * DAY, count)),
        80 + chance.normal(0, 1, count),
        chance.uniform(0.2, 0.6, count),
        chance.choice([0.0, 0.001], count),
        np.array(stages, dtype=np.uint8),
        np.array(resets, dtype=np.uint8),
    )


def jointly(rows: Readings, steps: Any) -> tuple[Any, Any]:
    """Solve for all states of one piece at once: the most likely ones, with their standard deviations."""
    count = len(rows.time)
    links = np.zeros((2 * count, 2 * count))
    right = np.zeros(2 * count)
    prior = np.linalg.inv(np.diag([steps[0, 2], steps[0, 4]]))
    links[:2, :2] += prior
    right[:2] += prior @ steps[0, :2]
    for at in range(1, count):
        move = np.array([[1, steps[at, 10]], [0, steps[at, 11]]])
        was, expected = (
            np.array([[row[0], row[1]], [row[1], row[2]]]) for row in (steps[at - 1, 2:5], steps[at, 7:10])
        )
        noise = np.linalg.inv(expected - move @ was @ move.T)
        both = np.hstack([-move, np.eye(2)])
        here = slice(2 * at - 2, 2 * at + 2)
        links[here, here] += both.T @ noise @ both
        if rows.stage[at] <= 1:
            links[2 * at, 2 * at] += 1 / rows.variance[at]
            right[2 * at] += rows.weight[at] / rows.variance[at]
    return np.linalg.solve(links, right)[::2], np.sqrt(np.diag(np.linalg.inv(links))[::2])


@pytest.mark.parametrize("stages", [[0] + [1] * 11, [0, 1, 1, 5, 2, 1, 1, 6, 1, 1, 2], [0], [0, 5], [0, 2, 1]])
def test_one_piece_is_what_the_joint_solution_says(stages: list[int]) -> None:
    rows = readings(stages, [1] + [0] * (len(stages) - 1), 3)
    steps = np.empty((len(stages), 12))
    smooth.forward((0, len(stages)), rows, MOTION, 1.0, steps)
    kg, sigma = np.empty(len(stages)), np.empty(len(stages))
    smooth.back((0, len(stages)), rows, steps, kg, sigma)
    expected, deviation = jointly(rows, steps)
    assert kg == pytest.approx(expected, abs=1e-6)
    assert sigma == pytest.approx(deviation, rel=1e-6)


def test_pieces_know_nothing_of_each_other() -> None:
    rows = readings([0] + [1] * 5 + [0] + [1] * 4, [1] + [0] * 5 + [3] + [0] * 4, 4)
    rows.weight[6:] += 9
    kg, sigma = np.full(11, np.nan), np.full(11, np.nan)
    smooth.whole(np.array([0, 11]), rows, MOTION, kg, sigma)
    assert np.all(np.abs(kg[:6] - 80) < 2)
    assert np.all(np.abs(kg[6:] - 89) < 2)


def test_nothing_before_the_first_accepted_reading() -> None:
    rows = readings([2, 5, 0, 1, 2], [0, 0, 1, 0, 0], 5)
    kg, sigma = np.full(5, np.nan), np.full(5, np.nan)
    smooth.whole(np.array([0, 0, 5, 5]), rows, MOTION, kg, sigma)
    assert list(np.isnan(kg)) == list(np.isnan(sigma)) == [True, True, False, False, False]
    none = readings([2, 2], [0, 0], 5)
    kg, sigma = np.full(2, np.nan), np.full(2, np.nan)
    smooth.whole(np.array([0, 2]), none, MOTION, kg, sigma)
    assert np.isnan(kg).all()


def off(true: Truth, kg: Any, rows: Any) -> float:
    return float(np.sqrt(((kg - true.weight_kg)[rows] ** 2).mean()))


@pytest.mark.parametrize("seed", [1, 2])
def test_nearer_to_the_truth_than_the_filter(seed: int) -> None:
    true = truth(200, 100, seed)
    filtered = load_rules("v2", "balanced").begin(true.chunk, fast=True).whole()
    line = smoothed(true.chunk, filtered)
    accepted = filtered.stage <= 1
    before, after = off(true, filtered.out[0], accepted), off(true, line.kg, accepted)
    print(seed, before, after)
    assert after < 0.75 * before
    far = np.abs(line.kg - true.weight_kg)[accepted] / line.sigma[accepted]
    assert 0.5 < np.sqrt((far * far).mean()) < 1.3, "its uncertainty is what it says"


def test_plain_and_compiled_say_the_same() -> None:
    true = truth(10, 60, 7, outliers=0.1)
    filtered = load_rules("v2", "balanced").begin(true.chunk, fast=True).whole()
    fast, plain = smoothed(true.chunk, filtered), smoothed(true.chunk, filtered, fast=False)
    assert fast.kg.tobytes() == plain.kg.tobytes()
    assert fast.sigma.tobytes() == plain.sigma.tobytes()
