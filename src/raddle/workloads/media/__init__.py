"""A policy over a library of video files: each file as the policy says, in parallel, and never a lost stream."""

from raddle.workloads.media._workload import workload

__all__ = ["workload"]
