"""Which addresses are public."""

from ipaddress import ip_address

import pytest

from app.addresses import is_public

PUBLIC = (
    "1.1.1.1",
    "9.255.255.255",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.169.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "64:ff9b::1.1.1.1",  # NAT64 of a public one
)
INNER = {
    "this network": ("0.0.0.1", "0.1.2.3"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
    "CGNAT": ("100.64.0.0", "100.127.255.255"),
    "loopback": ("127.0.0.1", "127.1.2.3", "::1"),
    "link-local": ("169.254.1.1", "fe80::1", "fe80::1%eth0", "febf::1"),
    "cloud metadata": (
        "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254",
        "fd20:ce::254",
    ),
    "protocols": ("192.0.0.1", "192.88.99.1", "2001:1::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "benchmarks": ("198.18.0.1", "198.19.255.255", "2001:2::1"),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
    "reserved": ("240.0.0.1", "255.255.255.255", "5f00::1", "8000::1", "100::1"),
    "unspecified": ("::", "0.0.0.0"),  # noqa: S104 - nothing is bound
    "unique local": ("fc00::1", "fdff::1"),
    "site-local": ("fec0::1",),
    "mapped": ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:1.1.1.1"),
    "compatible": ("::127.0.0.1", "::1.1.1.1"),
    "translated": ("::ffff:0:127.0.0.1",),
    "6to4": ("2002:7f00:1::", "2002:a00:1::1", "2002:101:101::1"),
    "Teredo": ("2001::1", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
    "NAT64": ("64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1.1.1.1"),
}  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("kind", INNER)
def test_inner_addresses_are_not(kind: str) -> None:
    assert [address for address in INNER[kind] if is_public(ip_address(address))] == []
