"""Signs of life: measures how long a process has been silent, and how long it may be silent before it is ended.

An edit of the project ends a hanging process, so that hotreload can react to the edit. A hanging process
answers no messages, so a rerun announces its next step on a page of memory that it shares with the watcher;
captured output counts as a sign of life, too.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from pathlib import Path

from pytest_hotreload.process import proc
from pytest_hotreload.world import mmap, os, struct

#: Seconds without a sign of life after which a test counts as hanging, if the project was edited since the
#: test began. Plain unit tests take less, and the record of a test that takes longer says so.
QUIET_SECONDS = 3.0
#: The same limit for all other steps: an import of torch took 8 s with cold caches.
COLLECTING_SECONDS = 10.0
#: Seconds between two checks of the watcher for a sign of life, while a rerun is under way.
LOOK_SECONDS = 1.0
#: The allowed factor between a test's duration and its last one. A guess: a busy machine is half as fast.
_SLOWER = 3.0


class Pulse:
    """The shared page, which the rerun writes and the watcher reads at any time.

    The next read corrects a value that was read while it was written.
    """

    _LAYOUT = struct.Struct("=QdH")
    _TEXT_BYTES = 1024

    def __init__(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_size < mmap.PAGESIZE:
            os.ftruncate(descriptor, mmap.PAGESIZE)
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)
        self._count = 0

    def beat(self, what: str | None = None, seconds: float | None = None) -> None:
        """Give a sign of life.

        ``what``: the step that begins now and may take ``seconds`` (None: as long as a collection); None if
        no step begins.
        """
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
        """Return (a number that changes with each sign of life, seconds that this step may take, the step)."""
        count, seconds, length = self._LAYOUT.unpack_from(self._page, 0)
        start = self._LAYOUT.size
        return count, seconds, self._page[start : start + length].decode("utf-8", "replace")

    def close(self) -> None:
        self._page.close()


class Quiet:
    """Notes for each process since when it has shown the same sign of life."""

    def __init__(self) -> None:
        self._seen: dict[object, tuple[Hashable, float]] = {}
        self._looked = 0.0

    def look(self, who: object, sign: Hashable, now: float) -> float:
        """Return for how many seconds the sign has been the same; ``now`` is in monotonic seconds.

        If the last call was long ago, all processes were suspended, and the measurement begins anew.
        """
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
    """The minimum time for which the next rerun may be silent.

    A test that is slow for the first time and writes to the project looks like a hang and an edit, each time
    it runs. Its time is doubled whenever edits of the same files ended it.
    """

    def __init__(self) -> None:
        #: The time for one test.
        self.seconds = QUIET_SECONDS
        self._paths: set[str] = set()

    def ended(self, paths: Collection[str]) -> None:
        """Note that a hanging process was ended because these paths were edited."""
        again = bool(paths) and set(paths) <= self._paths
        self.seconds = self.seconds * 2 if again else QUIET_SECONDS
        self._paths = set(paths)

    def done(self) -> None:
        """Note that a rerun ended by itself."""
        self.seconds, self._paths = QUIET_SECONDS, set()


def limit(known: float, least: float) -> float:
    """Return the seconds that a test may take whose last duration was ``known`` (0 if unknown)."""
    return max(least, _SLOWER * known)


def written(pid: int) -> tuple[int, ...]:
    """Return the bytes of output that a process captured in files, as pytest does."""
    sizes = []
    for number in (1, 2):
        captured = proc.captured(pid, number)
        try:
            sizes.append(Path(captured).stat().st_size if captured else 0)
        except OSError:  # the process is gone
            sizes.append(0)
    return tuple(sizes)
