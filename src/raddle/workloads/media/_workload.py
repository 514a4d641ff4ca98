"""What the entry point `media` leads to. Light: importing it loads neither PyAV nor YAML."""

from raddle.plugin import Workload

__all__ = ["workload"]

workload = Workload(
    "media",
    "Bring video files to what a policy says, and never lose a stream.",
    app="raddle.workloads.media.cli:app",
)
