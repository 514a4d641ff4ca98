"""Observers that show how a run goes."""

from raddle.progress.choose import observer_for
from raddle.progress.stats import Snapshot, Stats

__all__ = ["Snapshot", "Stats", "observer_for"]
