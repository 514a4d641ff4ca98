"""What this machine really grants, and how much memory is in use."""

from raddle._host.gauge import Gauge, gauge
from raddle._host.grants import Grant, cpus, memory, processes
from raddle._host.size import parse_bytes, size_text

__all__ = ["Gauge", "Grant", "cpus", "gauge", "memory", "parse_bytes", "processes", "size_text"]
