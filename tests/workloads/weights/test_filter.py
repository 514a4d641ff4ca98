"""What the filter promises, for any history."""

from __future__ import annotations

from math import isfinite, sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle.workloads.weights.filter import filter_user
from raddle.workloads.weights.values import STAGES, Readings, UserResult

DAY = 86_400_000_000


def history(*pairs: tuple[float, float], days: bool = True, source: str = "patient-device") -> Readings:
    return Readings(
        user="u",
        lines=tuple(range(2, len(pairs) + 2)),
        times=tuple(day if days else int(day * DAY) for day, _ in pairs),
        weights_kg=tuple(weight for _, weight in pairs),
        sources=(0,) * len(pairs),
        source_names=(source,),
        days=days,
    )


def stages(result: UserResult) -> list[str]:
    return [STAGES[code] for code in result.stages]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.just(0.0), st.floats(0, 2), st.floats(0, 4000)),
            st.one_of(st.floats(60, 80), st.floats(1e-300, 1000)),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_any_history_gives_finite_numbers_and_a_sound_covariance(steps: list[tuple[float, float]]) -> None:
    day, pairs = 0.0, []
    for step, weight in steps:
        day += step
        pairs.append((day, weight))
    result = filter_user(history(*pairs))
    columns = (result.filtered_kg, result.trend_kg_day, result.sigma_kg, result.trend_sigma)
    for at, stage in enumerate(result.stages):
        known = [column[at] for column in columns]
        assert all(value is None or isfinite(value) for value in known)
        if stage <= 1:
            assert None not in known
            assert result.filtered_kg[at] > 0
        assert (at in result.restarts) == (STAGES[stage] == "initialization")
    if result.state is not None:
        _, _, p00, p01, p11 = result.state
        assert p00 > 0
        assert p11 > 0
        assert p00 * p11 - p01 * p01 >= -1e-12
        assert result.stages[result.last] <= 1
        assert max(at for at, stage in enumerate(result.stages) if stage <= 1) == result.last


def test_the_filter_comes_close_to_the_truth_and_knows_how_close() -> None:
    chance = Random(1)
    truth = [80 - 0.05 * day for day in range(120)]
    result = filter_user(history(*((day, weight + chance.gauss(0, 0.6)) for day, weight in enumerate(truth))))
    wrong = [value - weight for value, weight in zip(result.filtered_kg, truth, strict=True)][20:]
    assert sqrt(sum(error * error for error in wrong) / len(wrong)) < 0.35
    within = [abs(error) <= 2 * sigma for error, sigma in zip(wrong, result.sigma_kg[20:], strict=True)]
    assert sum(within) / len(within) > 0.9
    assert result.state[1] == pytest.approx(-0.05, abs=0.04)


@pytest.mark.parametrize("wrong", [176.0, 36.0, 90.0, 72.0, 800.0, 8.0])
def test_an_outlier_changes_nothing_after_it(wrong: float) -> None:
    days = [(float(day), 80 + 0.3 * (-1) ** day) for day in range(20)]
    without = filter_user(history(*days))
    result = filter_user(history(*days[:10], (9.5, wrong), *days[10:]))
    assert result.stages[10] >= 2
    assert sum(stage >= 2 for stage in result.stages) == 1
    assert result.state == without.state


def test_pounds_taken_for_kilograms_are_never_followed_even_in_a_row() -> None:
    days = [(float(day), 80.0) for day in range(10)]
    wrong = [(10.0 + day, 176.4) for day in range(3)]
    result = filter_user(history(*days, *wrong, (14.0, 80.2)))
    assert stages(result)[10:] == ["kalman_deviation"] * 3 + ["accepted"]


@pytest.mark.parametrize(("level", "confirmations"), [(88.0, 1), (70.0, 1), (108.0, 2), (52.0, 2)])
def test_a_change_of_level_is_followed_once_readings_confirm_it(level: float, confirmations: int) -> None:
    before = [(float(day), 80.0) for day in range(10)]
    after = [(10.0 + day, level) for day in range(confirmations + 1)]
    short = filter_user(history(*before, *after[:-1]))
    assert set(stages(short)[10:]) == {"kalman_deviation"}
    result = filter_user(history(*before, *after))
    assert stages(result)[10:] == ["initialization", *["accepted"] * confirmations]
    assert result.restarts == {0: "first reading", 10: "level change"}
    assert result.state[0] == pytest.approx(level, abs=0.5)


def test_a_rival_that_lives_over_gaps_keeps_its_restarts() -> None:
    before = [(float(day), 50.0) for day in range(10)]
    after = [(400.0 * number, 90.0 + number) for number in range(1, 7)]
    result = filter_user(history(*before, *after))
    assert set(stages(result)[10:]) == {"initialization"}
    assert [result.restarts[at] for at in range(10, 16)] == ["level change", *["gap"] * 5]


def test_weighing_twice_in_one_session_confirms_nothing() -> None:
    before = [(float(day), 80.0) for day in range(10)]
    result = filter_user(history(*before, (10.0, 90.0), (10.01, 90.0), (10.02, 90.0)))
    assert set(stages(result)[10:]) == {"kalman_deviation"}


def test_a_wrong_first_reading_is_overruled() -> None:
    result = filter_user(history((0.0, 176.4), (1.0, 80.0), (2.0, 80.2), (3.0, 80.1)))
    assert stages(result) == ["kalman_deviation", "initialization", "accepted", "accepted"]
    assert result.restarts == {1: "level change"}


@pytest.mark.parametrize(("gap", "restarted"), [(29.96, False), (30.0, True), (400.0, True)])
@pytest.mark.parametrize("days", [True, False])
def test_a_gap_of_thirty_days_restarts(gap: float, restarted: bool, days: bool) -> None:
    start = 19_700.123456
    result = filter_user(history((start, 80.0), (start + 1, 80.0), (start + 1 + gap, 81.0), days=days))
    assert (result.restarts.get(2) == "gap") is restarted


def test_a_reading_after_a_gap_is_checked_too() -> None:
    before = [(float(day), 80.0) for day in range(10)]
    result = filter_user(history(*before, (60.0, 176.4), (61.0, 80.5), (62.0, 80.4)))
    assert stages(result)[10:] == ["kalman_deviation", "initialization", "accepted"]


@pytest.mark.parametrize(
    "weights",
    [
        [(0, 3.4), (14, 3.6), (30, 4.3), (61, 5.5), (122, 7.0), (183, 7.9), (274, 9.0), (365, 9.9)],
        [(0, 3.4), (365, 10.0), (730, 12.4), (1460, 16.5), (2920, 26.0), (4380, 42.0), (5840, 61.0)],
        [(float(week * 7), 3.4 + 0.2 * week) for week in range(20)],
    ],
)
def test_children_grow(weights: list[tuple[float, float]]) -> None:
    assert all(stage <= 1 for stage in filter_user(history(*weights)).stages)


def test_noisy_sources_move_the_filter_less() -> None:
    days = [(float(day), 80.0) for day in range(10)]
    calm = filter_user(history(*days, (10.0, 82.0), source="https://api.iglucose.com"))
    trusted = filter_user(history(*days, (10.0, 82.0), source="care-team-upload"))
    assert calm.filtered_kg[10] < trusted.filtered_kg[10]


def test_what_is_no_human_weight_is_said_so() -> None:
    result = filter_user(history((0.0, 900.0), (1.0, 0.01)))
    assert stages(result) == ["physiological"] * 2
    assert result.state is None
    assert result.filtered_kg == (None, None)
