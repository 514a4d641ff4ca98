"""The command `raddle`."""

from raddle.cli.main import main

__all__ = ["main"]
