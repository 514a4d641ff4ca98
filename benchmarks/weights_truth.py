"""How well each rule set and profile tells errors from changes, on histories of which the truth is known.

    python benchmarks/weights_truth.py [--users 300] [--rows 100] [--seeds 3]

Recall: share of the errors refused. False rejects: share of genuine readings refused. RMSE: filtered weight against the
true one, on accepted rows. What is generated, and why: `raddle.workloads.weights.truth`.
"""

from __future__ import annotations

import argparse
from statistics import fmean

from raddle.workloads.weights.rules import RULES, load_rules
from raddle.workloads.weights.rules.profiles import profile_names
from raddle.workloads.weights.truth import Score, score, truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    truths = [truth(given.users, given.rows, seed) for seed in range(1, given.seeds + 1)]
    print(f"{given.users} users x {given.rows} rows, seeds 1 to {given.seeds}; mean (worst)")
    print(f"{'rules':<8}{'profile':<14}{'recall':>18}{'false rejects':>20}{'RMSE kg':>18}")
    for name in reversed(RULES):
        for profile in profile_names(name):
            rules = load_rules(name, profile)
            scores = [score(true, rules.begin(true.chunk, fast=True).whole()) for true in truths]
            print(f"{name:<8}{profile:<14}{_row(scores)}")


def _row(scores: list[Score]) -> str:
    recall = [item.recall for item in scores]
    false = [item.false_rejects for item in scores]
    rmse = [item.rmse for item in scores]
    return (
        f"{fmean(recall):>10.4f} ({min(recall):.4f})"
        f"{fmean(false):>11.5f} ({max(false):.5f})"
        f"{fmean(rmse):>10.3f} ({max(rmse):.3f})"
    )


if __name__ == "__main__":
    main()
