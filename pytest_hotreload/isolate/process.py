"""One call that runs in a process of its own, as its caller sees it."""

from __future__ import annotations

import codecs
import contextlib
import os
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

from pytest_hotreload.isolate import messages
from pytest_hotreload.isolate.errors import (
    EnvironmentClosed,
    IsolatedDeath,
    IsolatedEnd,
    IsolatedStopped,
    IsolatedTimeout,
    IsolationError,
)

if TYPE_CHECKING:
    from pytest_hotreload.isolate.calls import Outcome

Stream = Literal["stdout", "stderr"]
#: Why a process was ended by us, if it was.
Reason = Literal["", "stopped", "timeout"]
Callback = Callable[["IsolatedProcess", Stream, str], object]

#: Bytes that are kept of each stream, its end: a function that prints for ever must not fill the host's memory.
KEPT_BYTES = 1 << 20


class Tail:
    """The end of what one stream said, and what is new of it, as text."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.dropped = 0

    def add(self, data: bytes) -> str:
        """Keep it; returns the characters that are complete with it. b"" is the end."""
        self._data += data
        if len(self._data) > 2 * KEPT_BYTES:
            self._cut()
        return self._decoder.decode(data, final=not data)

    def _cut(self) -> None:
        over = len(self._data) - KEPT_BYTES
        if over > 0:
            del self._data[:over]
            self.dropped += over

    def text(self) -> str:
        return bytes(self._data[-KEPT_BYTES:]).decode("utf-8", "replace")

    def lost(self) -> int:
        return self.dropped + max(len(self._data) - KEPT_BYTES, 0)


class IsolatedProcess:
    """A function that runs, or has run, in a process of its own. Made by ``exec``; may be used by any thread."""

    def __init__(
        self, name: str, timeout: float | None, callback: Callback | None, host: Caller, environment: object
    ) -> None:
        self._name, self._timeout, self._callback, self._host = name, timeout, callback, host
        #: Which ends when nobody holds it.
        self._environment = environment
        self._begun, self._ended = threading.Event(), threading.Event()
        self._lock = threading.RLock()  # a callback may ask for what was said
        self._tails: dict[Stream, Tail] = {"stdout": Tail(), "stderr": Tail()}
        self._when_done: list[Callable[[], object]] = []
        self._pid: int | None = None
        self._outcome: Outcome | None = None
        self._error: Callable[[], BaseException] | None = None
        self._leftovers: tuple[str, ...] = ()
        self._reason: Reason = ""

    def __repr__(self) -> str:
        state = "done" if self.done else "running"
        return f"<IsolatedProcess {self._name}, pid {self._pid}, {state}>"

    @property
    def name(self) -> str:
        """That of ``exec``, or of the function."""
        return self._name

    @property
    def pid(self) -> int:
        """Its process id; waits until it is born. Raises :class:`IsolationError` if it never was."""
        self._host.check()
        self._begun.wait()
        if self._pid is None:
            raise IsolationError(
                f"{self._name} has no process", hint="call its result(), which raises the reason"
            )
        return self._pid

    @property
    def done(self) -> bool:
        """Whether it has ended, and all of it was read."""
        return self._ended.is_set()

    @property
    def stdout(self) -> str:
        """What it wrote to standard output until now: the last 1 MiB."""
        return self._read("stdout")

    @property
    def stderr(self) -> str:
        """What it wrote to standard error until now: the last 1 MiB."""
        return self._read("stderr")

    @property
    def dropped(self) -> int:
        """Bytes of both streams that were written before what is kept."""
        with self._lock:
            return sum(tail.lost() for tail in self._tails.values())

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Processes that it left behind when it ended, which were ended then."""
        return self._leftovers

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds until it has ended, without holding the interpreter's lock."""
        if not self.done:
            self._host.check(waiting=True)
        return self._ended.wait(timeout)

    def result(self) -> Any:
        """Wait for it. Returns what the function returned, or raises what it raised.

        Raises :class:`IsolatedExit`, :class:`IsolatedDeath`, :class:`IsolatedTimeout`, :class:`IsolatedStopped`,
        :class:`CarryError` where there is no result to be had.
        """
        self.wait()
        if self._outcome is None:
            assert self._error is not None
            raise self._error()
        try:
            return self._outcome.result()
        except IsolatedEnd as error:
            error.stdout, error.stderr = self.stdout, self.stderr
            raise

    def on_output(self, callback: Callback) -> None:
        """Call ``callback(process, "stdout" or "stderr", text)`` with what is kept until now, and with all to come.

        The environment's thread calls it: it must be short, and wait for none of the environment's processes.
        """
        with self._lock:
            before = [(stream, tail.text()) for stream, tail in self._tails.items()]
            self._callback = callback
            for stream, text in before:
                if text:
                    self._call(stream, text)

    def __await__(self) -> Generator[Any, None, Any]:
        """Its result. Cancelling ends the waiting only, not the process."""
        import asyncio

        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(lambda: None if waiter.done() else waiter.set_result(None))

        self._host.check()
        self._call_when_done(wake)
        yield from waiter
        return self.result()

    def _read(self, stream: Stream) -> str:
        with self._lock:
            return self._tails[stream].text()

    def _call_when_done(self, function: Callable[[], object]) -> None:
        with self._lock:
            if not self.done:
                self._when_done.append(function)
                return
        function()

    # -- by the environment ------------------------------------------------------------------------

    def _start(self, pid: int) -> None:
        self._pid = pid
        self._begun.set()

    def _hear(self, stream: Stream, data: bytes) -> None:
        """b"" at its end."""
        with self._lock:
            text = self._tails[stream].add(data)
            if text:
                self._call(stream, text)

    def _call(self, stream: Stream, text: str) -> None:
        if self._callback is None:
            return
        try:
            self._callback(self, stream, text)
        except Exception as error:
            self._callback = None
            messages.tell(messages.callback_failed(error))

    def _end(
        self, outcome: Outcome | None, error: Callable[[], BaseException], leftovers: tuple[str, ...] = ()
    ) -> None:
        """Once. ``error``: makes what to raise where there is no outcome."""
        self._leftovers = leftovers
        self._outcome, self._error = outcome, error
        with self._lock:
            self._begun.set()
            self._ended.set()
            waiting, self._when_done = self._when_done, []
        for function in waiting:
            function()

    def _death(self, returncode: int) -> BaseException:
        """What its end means, if it put no outcome down."""
        said = {"stdout": self.stdout, "stderr": self.stderr}
        if self._reason == "timeout":
            assert self._timeout is not None
            how = messages.timed_out(self._timeout)
            return IsolatedTimeout(
                messages.ended_by(self._name, self._pid, how), hint=messages.MORE_TIME, **said
            )
        if self._reason == "stopped":
            return IsolatedStopped(
                messages.ended_by(self._name, self._pid, "was stopped"), hint=messages.NO_RESULT, **said
            )
        how = messages.how(returncode)
        error = IsolatedDeath(
            messages.ended_by(self._name, self._pid, how), hint=messages.LOOK_AT_OUTPUT, **said
        )
        error.returncode = returncode
        return error


class Caller:
    """The process and the thread that an environment's processes are read by."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self.thread: threading.Thread | None = None

    def is_ours(self) -> bool:
        """Whether this is the process itself, not a fork of it."""
        return os.getpid() == self._pid

    def check(self, *, waiting: bool = False) -> None:
        """Raises in a fork of the host; ``waiting``: and where the reading thread would wait for itself."""
        if not self.is_ours():
            raise EnvironmentClosed(
                f"the environment belongs to process {self._pid}, from which this process was forked",
                hint="create a new environment in this process",
            )
        if waiting and threading.current_thread() is self.thread:
            raise IsolationError(
                "an output callback can't wait for a process of the same environment",
                hint="wait in another thread",
            )
