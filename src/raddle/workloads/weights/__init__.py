"""Body-weight histories of many users: read, filtered in parallel, drawn."""

from raddle.workloads.weights._workload import workload

__all__ = ["workload"]
