"""What is believed of a weight history: two rule sets behind one face, `load_rules`.

`compat` is the original's, bit for bit, for those who must compare; `v2` is the one to use. Both read a `Chunk` and
fill a `Filtered`; what they keep between the rows of a user is in `Filtered.states` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from raddle import errors
from raddle.plugin.settings import no_such

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raddle.workloads.weights.values import Bools, Chunk, Filtered

__all__ = ["RULES", "Pass", "Rules", "load_rules"]

#: the rule sets, by the name that `--rules` takes
RULES: Final = ("compat", "v2")


class Pass(Protocol):
    """One way through the rows of a chunk."""

    @property
    def filtered(self) -> Filtered:
        """What has been said so far; its arrays may be read, and copied back, between calls of `advance`."""

    def advance(self, user: int, first: int, end: int, skip: Bools | None = None) -> None:
        """Filter the rows `[first, end)` of the chunk, all of one user, going on from `filtered.states[user]`.

        A state of NaN or zeros only is a fresh one. `skip` has one place per row of the chunk; a row it names gets the
        stage "retrospective", and touches nothing else.
        """

    def whole(self) -> Filtered:
        """Filter every row of every user, each from `filtered.states`, and return `filtered`."""


class Rules(Protocol):
    """A rule set with the parameters of one profile."""

    @property
    def name(self) -> str:
        """Return "compat" or "v2"."""

    @property
    def profile(self) -> str:
        """Return what was asked for: a shipped name or the path of a file."""

    @property
    def digest(self) -> str:
        """Return a hex digest of the rules' version and every parameter: other digest, other results."""

    @property
    def state_size(self) -> int:
        """Return the number of columns of `Filtered.states`."""

    @property
    def facts(self) -> Mapping[str, float]:
        """Return the numbers that words on a page need: quality_threshold, gap_days ..."""

    def begin(self, chunk: Chunk, *, fast: bool) -> Pass:
        """Start a pass with fresh states. `fast`: compiled; else the same source as plain Python, for the same bits."""


def load_rules(name: str, profile: str) -> Rules:
    """Return the rules of a name; `profile` is a shipped one or the path of a .toml file.

    Raises:
        ConfigError: no such rules or profile, or something in the profile is not a key or not a possible value
    """
    if name == "compat":
        from raddle.workloads.weights.rules.compat import load_compat

        return load_compat(profile)
    if name == "v2":
        from raddle.workloads.weights.rules.v2 import load_v2

        return load_v2(profile)
    raise errors.ConfigError(f"rules={name!r}: {no_such(name, RULES)}")
