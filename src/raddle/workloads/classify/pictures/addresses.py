"""Which addresses a picture may come from.

The lists follow IANA's special-purpose registries (RFC 6890 and what came after it), not `ipaddress.is_global`, whose
answer for some of these networks has changed between releases of Python.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Address", "Network", "allowed", "networks"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_CLOSED_4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network; 0.0.0.0 reaches the own machine
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by carriers; metadata of one cloud
            "127.0.0.0/8",
            "168.63.129.16/32",  # metadata of another cloud, at a public address
            "169.254.0.0/16",  # link-local, with 169.254.169.254
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
#: of IPv6 only global unicast is open, without these
_OPEN_6: Final = IPv6Network("2000::/3")
_CLOSED_6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, with Teredo, which carries an IPv4 address
            "2001:db8::/32",
            "2002::/16",  # 6to4, likewise
            "3fff::/20",
        ),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


def networks(given: Iterable[str]) -> tuple[Network, ...]:
    """Return networks from such texts as `10.1.0.0/16` or `::1`.

    Raises:
        ValueError: one is not a network
    """
    return tuple(ip_network(each) for each in given)


def allowed(text: str, also: Iterable[Network] = ()) -> bool:
    """Whether a connection to this address, as the system is about to make it, may be made.

    Args:
        text: an IP address; a scope such as `%eth0` may follow
        also: networks that are open whatever they are
    """
    try:
        address = _plain(ip_address(text))
    except ValueError:
        return False
    if any(address.version == network.version and address in network for network in also):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_4)
    return address in _OPEN_6 and not any(address in network for network in _CLOSED_6)


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped one or one of NAT64, which is the one that is reached."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
        if address.scope_id:
            return IPv6Address(int(address))
    return address
