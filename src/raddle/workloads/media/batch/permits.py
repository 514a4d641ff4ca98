"""How many files at once: light work (looking, copying streams) and encodes each have their own number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from raddle.workloads.media.policy import Policy

__all__ = ["Permits", "permits_for"]

_ENOUGH: Final = 2
#: CPUs of one encode, where there are many: encoders gain little from more
_PER_ENCODE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Permits:
    """How many of each at once. A file that is encoded takes an encode permit, any other a light one."""

    #: files at once, whatever is done to them
    workers: int
    light: int
    encode: int
    #: threads of each encode, where the policy does not say
    threads: int
    #: what was asked for and is not done, or will not help, and why
    warnings: tuple[str, ...] = ()

    def by_name(self) -> dict[str, int]:
        """Return what the engine is told."""
        return {"light": self.light, "encode": self.encode}


def permits_for(cpus: int, *, workers: int | None = None, encodes: int | None = None, policy: Policy) -> Permits:
    """Return how many files are worked on at once.

    Args:
        cpus: that are granted
        workers: files at once; None: as many as CPUs, and the encodes beside them
        encodes: of these, that are encoded; None: two, or a quarter of the CPUs
        policy: may say how many threads an encode has
    """
    warnings: list[str] = []
    usual = max(min(_ENOUGH, cpus), cpus // _PER_ENCODE)
    light = _capped("workers", workers, cpus, "more wait for each other and for the disk", warnings) or cpus
    encode = _capped("encodes", encodes, cpus, "encoders use whole CPUs", warnings)
    if encode is None:
        encode = usual if workers is None else min(light, usual)
    elif workers is not None and encode > light:
        warnings.append(f"--encodes={encodes} is taken as {light}: --workers={light} files are under way at once")
        encode = light
    threads = max(1, cpus // encode)
    own = max((step.video.threads or 0 for step in policy.steps if step.video is not None), default=0)
    if (own or threads) * encode > _ENOUGH * cpus:
        warnings.append(
            f"{encode} encodes with {own or threads} threads each are {(own or threads) * encode} threads on "
            f"{cpus} CPUs: they wait for each other, and each needs memory; lower --encodes or the policy's threads"
        )
    together = light + encode if workers is None else light
    return Permits(workers=together, light=light, encode=encode, threads=threads, warnings=tuple(warnings))


def _capped(name: str, asked: int | None, cpus: int, why: str, warnings: list[str]) -> int | None:
    most = _ENOUGH * cpus
    if asked is None or asked <= most:
        return asked
    warnings.append(f"--{name}={asked} is taken as {most}: {cpus} CPUs are granted here, and {why}")
    return most
