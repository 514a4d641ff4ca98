"""What the entry point `weights` leads to. Light: every worker process imports this package."""

from raddle.plugin import Workload

__all__ = ["workload"]

workload = Workload(
    "weights",
    "Filter the weight histories of many users, and draw a page for each.",
    app="raddle.workloads.weights.cli:app",
)
