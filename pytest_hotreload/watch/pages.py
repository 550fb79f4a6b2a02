"""The memory pages that the reruns of a watch write to.

A fork shares each page with its parent until one of them writes to it. The first write costs a page fault and a copy,
some 2.7 µs (36,000 pages in 97 ms, the heavy suite). A waiting rerun can take that cost early: it writes to the pages
that the previous rerun wrote to, which has the same ancestors and does much the same.
"""

from __future__ import annotations

import struct

from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.protocol import Pages

#: The start and end address of a run of pages, in the format of ``_native.own_pages``.
_RUN = struct.Struct("<QQ")


class Written:
    """The pages that earlier reruns wrote to."""

    def __init__(self) -> None:
        #: The pages that the next rerun writes to ahead of time; b"" while nothing is known.
        self.pages = b""
        self._first = 0

    def learn(self, pages: bytes) -> None:
        """Set the pages that a rerun owned at its end.

        The rerun owns all pages that it received, whether it needed them or not, so the set only grows. When the set
        has more than doubled, it is discarded and learned anew.
        """
        size = sum(end - begin for begin, end in _RUN.iter_unpack(pages))
        self._first = self._first or size
        self.pages = pages
        if size > 2 * self._first:
            self.pages, self._first = b"", 0

    def send(self, rerun: Process) -> None:
        """Send the pages, if any are known, to a waiting rerun."""
        if self.pages:
            rerun.tell(Pages(self.pages))
