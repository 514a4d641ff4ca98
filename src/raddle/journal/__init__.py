"""Durable memory of runs: an outcome per item that survives kill -9, and resume by the content of items."""

from raddle.journal.memory import MemoryJournal
from raddle.journal.sqlite import SqliteJournal

__all__ = ["MemoryJournal", "SqliteJournal"]
