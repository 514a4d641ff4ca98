"""Putting results in the place of originals, so that nothing is ever lost."""
