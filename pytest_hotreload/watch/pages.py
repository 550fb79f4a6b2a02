"""Which pages of memory the reruns of a watch write to.

A fork shares its pages with who forked it until it writes to one; that costs a fault and a copy, some 2.7 µs (36,000
pages in 97 ms, the heavy suite). A rerun that waits can have that behind it: it gets those that the one before wrote
to, which has the same ancestors and does much the same.
"""

from __future__ import annotations

import struct

from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.protocol import Pages

#: The addresses of a run's begin and end, as ``_native.own_pages`` tells them.
_RUN = struct.Struct("<QQ")


class Written:
    """``pages``: what the next rerun gets; b"" while nothing is known."""

    def __init__(self) -> None:
        self.pages = b""
        self._first = 0

    def learn(self, pages: bytes) -> None:
        """A rerun that had got ``self.pages`` owned these at its end.

        It owns what it got, needed or not, so the set only grows. When it has doubled it is forgotten, and learned
        anew.
        """
        size = sum(end - begin for begin, end in _RUN.iter_unpack(pages))
        self._first = self._first or size
        self.pages = pages
        if size > 2 * self._first:
            self.pages, self._first = b"", 0

    def send(self, rerun: Process) -> None:
        """To one that waits."""
        if self.pages:
            rerun.tell(Pages(self.pages))
