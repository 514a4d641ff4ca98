"""SHA-256 of all files of a folder: a workload for raddle."""

from raddle.plugin import Workload

__all__ = ["workload"]

workload = Workload(
    "checksums",
    "SHA-256 of all files of a folder, in parallel, with resume",
    app="raddle_checksums.cli:app",
)
