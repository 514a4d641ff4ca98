"""What the entry point `classify` leads to. Light: every worker process imports this package."""

from raddle.plugin import Workload

__all__ = ["workload"]

workload = Workload(
    "classify",
    "Label a catalogue, by text or by picture: offline, or against any OpenAI-compatible endpoint.",
    app="raddle.workloads.classify.cli:app",
)
