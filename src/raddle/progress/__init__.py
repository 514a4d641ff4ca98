"""Observers that show how a run goes."""

from raddle.progress.choose import observer_for
from raddle.progress.otel import OpenTelemetryObserver
from raddle.progress.prometheus import PrometheusFile, PrometheusServer
from raddle.progress.stats import Report, Snapshot, Stats

__all__ = [
    "OpenTelemetryObserver",
    "PrometheusFile",
    "PrometheusServer",
    "Report",
    "Snapshot",
    "Stats",
    "observer_for",
]
