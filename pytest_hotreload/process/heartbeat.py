"""Signs of life: how long a process has done nothing, and how long that is no reason to end it.

An edit of the project ends what hangs, so that the edit is acted on. A process that hangs answers nothing, so a rerun
notes on a page of memory that it shares with the watcher what it is about to do; output that it captured counts, too.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from pathlib import Path

from pytest_hotreload.process import proc
from pytest_hotreload.world import mmap, os, struct

#: Seconds without a sign of life after which a test counts as hanging, if the project was edited since it began. Plain
#: unit tests take less, and a test that takes longer has that in its record.
QUIET_SECONDS = 3.0
#: The same of everything else: an import of torch took 8 s with cold caches.
COLLECTING_SECONDS = 10.0
#: Seconds between two looks of the watcher for a sign of life, while a rerun is under way.
LOOK_SECONDS = 1.0
#: How many times as long as last time a test may take. A guess: a busy machine is half as fast.
_SLOWER = 3.0


class Pulse:
    """The page. Written by the rerun, and read by the watcher at any time: a torn reading is another one next time."""

    _LAYOUT = struct.Struct("=QdH")
    _TEXT_BYTES = 1024

    def __init__(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_size < mmap.PAGESIZE:
            os.ftruncate(descriptor, mmap.PAGESIZE)
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)
        self._count = 0

    def beat(self, what: str | None = None, seconds: float | None = None) -> None:
        """Something is done. ``what``: the next thing begins, which may take ``seconds`` (None: as a collection)."""
        self._count += 1
        if what is None:
            _, known, length = self._LAYOUT.unpack_from(self._page, 0)
            self._LAYOUT.pack_into(self._page, 0, self._count, known, length)
            return
        seconds = COLLECTING_SECONDS if seconds is None else seconds
        text = what.encode("utf-8", "replace")[: self._TEXT_BYTES]
        start = self._LAYOUT.size
        self._page[start : start + len(text)] = text
        self._LAYOUT.pack_into(self._page, 0, self._count, seconds, len(text))

    def read(self) -> tuple[int, float, str]:
        """(a number that is another one after each sign of life, seconds that this may take, what it is)."""
        count, seconds, length = self._LAYOUT.unpack_from(self._page, 0)
        start = self._LAYOUT.size
        return count, seconds, self._page[start : start + length].decode("utf-8", "replace")

    def close(self) -> None:
        self._page.close()


class Quiet:
    """Since when each process has shown the same sign of life. ``now``: monotonic seconds."""

    def __init__(self) -> None:
        self._seen: dict[object, tuple[Hashable, float]] = {}
        self._looked = 0.0

    def look(self, who: object, sign: Hashable, now: float) -> float:
        """For how many seconds it was so. Where nobody looked for long, all of us were stopped: it begins anew."""
        if now - self._looked > QUIET_SECONDS:
            self._seen.clear()
        self._looked = now
        known, since = self._seen.get(who, (None, now))
        if known != sign:
            self._seen[who] = sign, now
            return 0.0
        return now - since

    def forget(self) -> None:
        self._seen.clear()


class Patience:
    """How long the next rerun may do nothing, at least.

    A test that is slow for the first time and writes to the project looks like a hang and an edit, each time it runs:
    it gets twice the time whenever the very same files ended it. ``seconds``: for a test.
    """

    def __init__(self) -> None:
        self.seconds = QUIET_SECONDS
        self._paths: set[str] = set()

    def ended(self, paths: Collection[str]) -> None:
        """A hang was ended for an edit of these."""
        again = bool(paths) and set(paths) <= self._paths
        self.seconds = self.seconds * 2 if again else QUIET_SECONDS
        self._paths = set(paths)

    def done(self) -> None:
        """A rerun came to its own end."""
        self.seconds, self._paths = QUIET_SECONDS, set()


def limit(known: float, least: float) -> float:
    """Seconds that a test may take that took ``known`` last time, 0 where nobody knows."""
    return max(least, _SLOWER * known)


def written(pid: int) -> tuple[int, ...]:
    """Bytes of output that a process captured in files, as pytest does."""
    sizes = []
    for number in (1, 2):
        captured = proc.captured(pid, number)
        try:
            sizes.append(Path(captured).stat().st_size if captured else 0)
        except OSError:  # the process is gone
            sizes.append(0)
    return tuple(sizes)
