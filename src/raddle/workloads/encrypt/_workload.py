"""What the entry point `encrypt` leads to. Light: every worker process imports this package."""

from raddle.plugin import Workload

__all__ = ["workload"]

workload = Workload(
    "encrypt",
    "Seal files so that they come back bit for bit; sketch pictures as Fourier drawings.",
    app="raddle.workloads.encrypt.cli:app",
)
