"""Reserves a port that the children of a test bind later."""

from __future__ import annotations

import random
import socket

#: Below the range from which Linux takes the ports of clients and of ``bind(…, 0)`` (32768 to 60999,
#: ``/proc/sys/net/ipv4/ip_local_port_range``): what runs beside a test gets none of these by chance.
_LEAST, _MOST = 12_000, 32_000


def free_port() -> int:
    """A port of TCP that nobody has now, and that only another such test could take."""
    chosen = random.SystemRandom()
    while True:
        port = chosen.randrange(_LEAST, _MOST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
