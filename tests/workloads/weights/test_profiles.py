"""Profiles: what is shipped, what a user may write, and that every key does something."""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest

from raddle import errors
from raddle.plugin.settings import number
from raddle.workloads.weights.rules import RULES, load_rules
from raddle.workloads.weights.rules.profiles import profile_names, read_profile, shipped_text

np = pytest.importorskip("numpy")
pytest.importorskip("numba")
sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from oracle import Oracle, chunk_of, hostile  # noqa: E402

from raddle.workloads.weights.rules.compat import Profile  # noqa: E402

#: every key of a compat profile, and a value that `balanced` does not have
CHANGES: dict[str, Any] = {
    "processing.extreme_threshold": 0.02,
    "quality_scoring.use_harmonic_mean": False,
    "quality_scoring.threshold": 0.8,
    "quality_scoring.component_weights.safety": 8.0,
    "quality_scoring.component_weights.plausibility": 8.0,
    "quality_scoring.component_weights.consistency": 8.0,
    "quality_scoring.component_weights.reliability": 8.0,
    "kalman.initial_variance": 2.0,
    "kalman.transition_covariance_weight": 0.1,
    "kalman.transition_covariance_trend": 0.001,
    "kalman.observation_covariance": 1.0,
    "kalman.reset.hard.gap_threshold_days": 14.5,
    "kalman.reset.soft.enabled": False,
    "kalman.reset.soft.min_weight_change_kg": 1.5,
    "kalman.reset.soft.cooldown_days": 20,
    "kalman.reset.soft.more_trigger_sources": ["patient-device", "a scale"],
    **{
        f"kalman.reset.{kind}.{key}": value
        for kind in ("initial", "hard", "soft")
        for key, value in {
            "initial_variance_multiplier": 7.0,
            "weight_noise_multiplier": 1.5,
            "trend_noise_multiplier": 2.0,
            "observation_noise_multiplier": 3.0,
            "adaptation_measurements": 60,
            "adaptation_days": 1.5,
            "adaptation_decay_rate": 9.0,
            "quality_acceptance_threshold": 0.75,
        }.items()
    },
}
NAMES = ("aggressive", "balanced", "clinical", "conservative", "custom")


def keys(shape: Any, at: str = "") -> list[str]:
    hints = get_type_hints(shape)
    found = [
        keys(hints[f.name], f"{at}{f.name}.") if is_dataclass(hints[f.name]) else [at + f.name] for f in fields(shape)
    ]
    return [name for names in found for name in names]


def write(path: Path, key: str, value: Any, *, base: str = "balanced") -> str:
    table, _, name = key.rpartition(".")
    path.write_text(f'base = "{base}"\n[{table}]\n{name} = {json.dumps(value)}\n')
    return str(path)


def test_shipped() -> None:
    assert profile_names("compat") == NAMES
    for rules in RULES:
        assert "balanced" in profile_names(rules)
        for name in profile_names(rules):
            assert tomllib.loads(shipped_text(rules, name))
            assert load_rules(rules, name).profile == name


@pytest.mark.parametrize("name", NAMES)
def test_the_originals_values(data: Path, name: str) -> None:
    expected = json.loads((data / "weights" / "golden" / "profiles.json").read_text())[name]
    ours = asdict(read_profile("compat", name, Profile))
    soft = expected["kalman"]["reset"]["soft"]
    assert set(soft.pop("trigger_sources", ())) <= {"questionnaire", "patient-upload", "care-team-upload"}
    assert ours["kalman"]["reset"]["soft"]["more_trigger_sources"] == ()  # those are built in already

    def check(theirs: dict[str, Any], own: dict[str, Any]) -> None:
        for key, value in theirs.items():
            if isinstance(value, dict):
                check(value, own[key])
            elif not (key.startswith("quality_") and key.endswith("_weight")):  # never used, so not ours
                assert own[key] == value, key

    check(expected, ours)


def test_the_table_of_changes_is_complete() -> None:
    assert sorted(CHANGES) == sorted(keys(Profile))


@pytest.mark.slow
@pytest.mark.parametrize("key", CHANGES)
def test_every_key_changes_a_result_as_the_text_says(key: str, tmp_path: Path) -> None:
    people, heights = hostile(21, users=10, rows=110)
    chunk = chunk_of(people, heights)
    rules = load_rules("compat", write(tmp_path / "own.toml", key, CHANGES[key]))
    base = load_rules("compat", "balanced")
    filtered, before = rules.begin(chunk, fast=True).whole(), base.begin(chunk, fast=True).whole()
    assert rules.digest != base.digest
    # `allowed` alone would not do: it is only told
    changed = filtered.stage.tobytes() != before.stage.tobytes()
    assert changed or not np.allclose(filtered.out[0], before.out[0], rtol=0, atol=1e-6, equal_nan=True)
    for at, user in enumerate(chunk.users):
        oracle = Oracle(asdict(rules.parameters), heights.get(user))
        said = [oracle.judge(reading).get("filtered_weight", np.nan) for reading in people[user]]
        assert not oracle.ties
        own = filtered.out[0, chunk.starts[at] : chunk.starts[at + 1]]
        assert np.allclose(own, said, rtol=0, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("quality_scoring.treshold", 0.5, ["quality_scoring.treshold=0.5", "did you mean 'threshold'?"]),
        ("quality_scorin.threshold", 0.5, ["quality_scorin=[...]", "did you mean 'quality_scoring'?"]),
        ("kalman.reset.soft.trigger_sources", [], ["trigger_sources=[]", "did you mean 'more_trigger_sources'?"]),
        ("kalman.reset.hard.quality_safety_weight", 1, ["hard.quality_safety_weight=1: there is no"]),
        ("quality_scoring.threshold", 1.5, ["quality_scoring.threshold=1.5", "from 0 to 1"]),
        ("quality_scoring.threshold", "high", ["quality_scoring.threshold='high'", "must be a number"]),
        ("quality_scoring.threshold", True, ["must be a number"]),
        ("quality_scoring.use_harmonic_mean", 1, ["use_harmonic_mean=1", "true or false"]),
        ("kalman.initial_variance", 0, ["kalman.initial_variance=0", "from 1e-06 to 1e+06"]),
        ("kalman.reset.hard.adaptation_measurements", 2.5, ["measurements=2.5", "whole number"]),
        ("kalman.reset.soft.more_trigger_sources", "x", ["more_trigger_sources='x'", "must be a list"]),
        ("kalman.reset.soft.more_trigger_sources", [1], ["more_trigger_sources=[1]", "text in quotes"]),
        ("kalman.reset", 3, ["kalman.reset=3", "[kalman.reset]"]),
    ],
)
def test_what_cannot_be(tmp_path: Path, key: str, value: Any, words: list[str]) -> None:
    path = write(tmp_path / "own.toml", key, value)
    with pytest.raises(errors.ConfigError) as caught:
        load_rules("compat", path)
    assert path in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1" + "0" * 400])
def test_numbers_are_finite(tmp_path: Path, value: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f'base = "balanced"\n[kalman]\nobservation_covariance = {value}\n')
    with pytest.raises(errors.ConfigError, match=r"must be a finite number|must be from"):
        load_rules("compat", str(path))


@pytest.mark.parametrize(
    ("rules", "profile", "hint"),
    [
        ("compat", "balansed", "did you mean 'balanced'?"),
        ("v2", "balansed", "did you mean 'balanced'?"),
        ("compat", "none/such.toml", "no such file; shipped profiles: aggressive, balanced"),
        ("compat", "", "path of a .toml file"),
        ("compact", "balanced", "did you mean 'compat'?"),
    ],
)
def test_no_such(rules: str, profile: str, hint: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        load_rules(rules, profile)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b'base = "balansed"\n', "did you mean 'balanced'?"),
        (b"base = 3\n", "base=3"),
        (
            b"[processing]\nextreme_threshold = 0.1\n",
            'quality_scoring is missing: add it, or begin with `base = "balanced"`',
        ),
        (b"[processing\n", "cannot be read as TOML"),
        (b"a = '\xff'\n", "cannot be read as TOML"),
    ],
)
def test_files_that_say_nothing(tmp_path: Path, text: bytes, hint: str) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(text)
    with pytest.raises(errors.ConfigError) as caught:
        load_rules("compat", str(path))
    assert hint in str(caught.value)


def test_a_base_is_changed_where_the_file_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "own.toml", "kalman.reset.hard.gap_threshold_days", 60, base="clinical")
    ours, clinical = (asdict(read_profile("compat", profile, Profile)) for profile in (path, "clinical"))
    assert ours != clinical
    clinical["kalman"]["reset"]["hard"]["gap_threshold_days"] = 60.0
    assert ours == clinical
    (tmp_path / "whole.toml").write_text(shipped_text("compat", "clinical"))
    whole, named = (load_rules("compat", profile) for profile in (str(tmp_path / "whole.toml"), "clinical"))
    assert whole.digest == named.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    kind: Literal["mean", "median"]
    limits: tuple[float, ...] = number(0, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    count: int = number(1)
    share: float = number(0, 1)
    inner: Inner


def test_any_shape(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('count = 3\nshare = 1\ninner = { kind = "median", limits = [1, 2.5] }\n')
    found = read_profile("v2", str(path), Outer)
    assert found == Outer(count=3, share=1.0, inner=Inner(kind="median", limits=(1.0, 2.5)))
    assert isinstance(found.share, float)
    for line, hint in (
        ('inner = { kind = "medan", limits = [] }', "did you mean 'median'?"),
        ('inner = { kind = "mean", limits = [1, 11] }', "inner.limits=[1, 11]: must be from 0 to 10"),
        ('inner = { kind = "mean" }', "inner.limits is missing"),
        ('inner = { kind = "mean", limits = [] }\ncount = 0', "count=0: must be at least 1"),
    ):
        path.write_text(f"{'' if 'count' in line else 'count = 3'}\nshare = 1\n{line}\n")
        with pytest.raises(errors.ConfigError) as caught:
            read_profile("v2", str(path), Outer)
        assert hint in str(caught.value)
