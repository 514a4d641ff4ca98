"""What raddle tests itself with, for those who write backends and journals, and for those who use raddle."""

from raddle.testing.backend_suite import BackendSuite
from raddle.testing.clock import FakeClock
from raddle.testing.journal_suite import JournalSuite
from raddle.testing.simulated import SimulatedBackend, Step
from raddle.testing.simulation import BrokenPromise, simulate

__all__ = ["BackendSuite", "BrokenPromise", "FakeClock", "JournalSuite", "SimulatedBackend", "Step", "simulate"]
