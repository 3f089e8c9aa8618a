"""Which addresses a server on the public internet may have. All others lead inside, to ourselves, or nowhere."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

# Written out, from IANA's registries of special purposes: `is_global` knows no multicast, no embedding and no
# metadata service, and differs between releases of Python (192.0.0.192 was global until 3.11.10).
_REFUSED_V4 = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # CGNAT; Alibaba's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's services to a machine, at an address that looks public
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_V6 = ip_network("2000::/3")  # all that is given out; loopback, local, mapped and multicast are outside
_REFUSED_V6 = tuple(
    ip_network(network)
    for network in (
        "2001::/23",  # protocols; Teredo, which embeds an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds one too
        "3fff::/20",  # documentation
    )
)
# A network with IPv6 only may give every IPv4 server an address in here, so the embedded one is judged.
_NAT64 = ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether a connection to `address` leaves for the public internet."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(ip_address(int(address) & 0xFFFF_FFFF))
        refused = address not in _GLOBAL_V6 or any(address in network for network in _REFUSED_V6)
    else:
        refused = any(address in network for network in _REFUSED_V4)
    return address.is_global and not refused
