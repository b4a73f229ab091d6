"""Whether others than this machine can reach a process: what is open on loopback is closed beyond it."""

from __future__ import annotations

import ipaddress


def is_exposed(address: str) -> bool:
    """Whether an address that is listened on can be reached from other machines. A name is taken to be reachable,
    but for `localhost`."""
    if address == "localhost":
        return False
    try:
        return not ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return True
