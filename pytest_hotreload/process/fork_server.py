"""A fork point: an idle process that forks children on request, reaps them and ends their leftover processes.

The controller does not fork its children itself. Each fork write-protects the memory of the forking process,
so a controller that also replays would copy, after every fork, each page that it writes to. A process that
does nothing else copies almost nothing, and all its children start from the same state. The template is a
fork point too.

:func:`serve` is the process; :class:`ForkPoint` is its handle in the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Literal

from pytest_hotreload._native import collapse_heap, set_child_subreaper
from pytest_hotreload.process import adoption, job_control, leftovers, open_files
from pytest_hotreload.process.channel import Channel, pair
from pytest_hotreload.process.fork_messages import Gone, Kill, Refused, Start, Started
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.process.prefork import Prefork
from pytest_hotreload.process.quiet_fork import fork_quietly
from pytest_hotreload.world import BUILTINS, contextlib, os, select, signal, sockets

__builtins__ = BUILTINS

#: Milliseconds between two checks of the children where there is no pidfd (macOS).
_NO_PIDFD_MS = 20
#: The token of a preforked child that has not been requested yet.
_NOBODY = 0


class Unwind(BaseException):
    """Leaves the fork point's loop in a child, which then continues at the place where the fork point was forked."""


class ForkPoint:
    """The controller's handle of a fork point: requests children and reads reports about them."""

    #: How the children come into being: as forks of the collected session, as forks of the template, or in
    #: fresh interpreters.
    kind: ClassVar[Literal["fork", "template", "spawn"]] = "fork"

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid, self.channel = pid, channel

    @classmethod
    def fork(
        cls,
        run_child: Callable[[Start, list[int]], Any],
        lifeline: tuple[int, int],
        close: Sequence[Any] = (),
        answer: Callable[[Any], Any] | None = None,
        *,
        many: bool = False,
    ) -> ForkPoint:
        """Fork this process into a fork point whose children call ``run_child(start, descriptors)``.

        ``close``: objects that only the controller keeps open. ``many``: whether the number of children
        justifies moving the heap into huge pages first (this saves 0.9 of 9 ms of CPU per child at 45 MB, and
        costs 2 ms per MB once). ``answer``: handles messages other than Start. Raises OSError where the
        system refuses.
        """
        ours, theirs = pair()
        open_files.keep_with_threads()
        pid = fork_quietly()
        if pid:
            theirs.close()
            return cls(pid, ours)
        try:
            ours.close()
            for thing in close:
                thing.close()
            os.close(lifeline[1])
            adoption.stay()
            theirs.pid, theirs.descriptors = os.getpid(), []
            if many:
                collapse_heap()
            serve(theirs, run_child, lifeline[0], answer)
        except Unwind:
            raise
        except BaseException:
            os._exit(70)  # EX_SOFTWARE; the controller sees its channel close
        os._exit(0)

    def start_with(self, start: Start, descriptors: Sequence[int] = ()) -> None:
        """Request a child and pass it the descriptors. Raises OSError if the fork point is gone."""
        if descriptors:
            self.channel.send_with(start, descriptors)
        else:
            self.channel.send(-1, start)

    def read(self) -> tuple[list[Any], bool]:
        """Return the fork point's reports (Started, Gone, Refused), and whether the fork point is gone."""
        frames, closed = self.channel.drain()
        return [message for _, message in frames], closed

    def let_end(self) -> None:
        """Let the fork point end with all its children. Its channel closes then."""
        with contextlib.suppress(OSError):
            self.channel.socket.shutdown(sockets.SHUT_WR)

    def close(self) -> None:
        """End the fork point with all its children, and wait until it has ended. Idempotent."""
        if self.channel.closed:
            return
        self.let_end()
        self._wait()
        self.channel.close()

    def kill(self) -> None:
        """Kill the fork point; its children follow by their parent-death signal."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        self._wait()
        self.channel.close()

    def _wait(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def serve(
    control: Channel,
    run_child: Callable[[Start, list[int]], Any],
    lifeline: int,
    answer: Callable[[Any], Any] | None = None,
    ahead: Prefork | None = None,
    kept: Collection[int] = (),
) -> None:
    """Run the fork point until the controller closes the channel or dies.

    ``ahead``: the prefork, if one child is to be kept ready. ``kept``: processes of this one that are no leftovers.
    """
    job_control.forget()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child_handler = signal.getsignal(signal.SIGCHLD)
    if child_handler is not signal.SIG_DFL:  # set by a conftest; the exit status of a child would be lost
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    set_child_subreaper(True)
    end_with(lifeline)
    _Server(control, run_child, answer, ahead, kept, child_handler=child_handler).run()


class _Server:
    """The state of a fork point. Kept small, because each page that is written between two forks is copied."""

    def __init__(
        self,
        control: Channel,
        run_child: Callable[[Start, list[int]], Any],
        answer: Callable[[Any], Any] | None,
        ahead: Prefork | None,
        kept: Collection[int],
        *,
        child_handler: Any,
    ) -> None:
        self._kept = kept
        self._child_handler = child_handler
        self.control, self.run_child, self.answer, self.prefork = control, run_child, answer, ahead
        self.children: dict[int, tuple[int, int]] = {}  # pid -> (token, pidfd)
        self.poll = select.poll()
        self.poll.register(control.fileno(), select.POLLIN)
        open_files.note()

    def run(self) -> None:
        while True:
            untold = [token for token, pidfd in self.children.values() if pidfd < 0]
            wait = _NO_PIDFD_MS if any(token != _NOBODY for token in untold) else None
            ready = {descriptor for descriptor, _ in self.poll.poll(wait)}
            if untold or ready != {self.control.fileno()}:
                self._reap()
            if self.control.fileno() in ready and not self._obey():
                break
            if self.prefork is not None and self.prefork.is_due():
                self._fork_ahead(self.prefork)
        self._end_all()

    def _obey(self) -> bool:
        frames, closed = self.control.drain()
        for _, message in frames:
            if isinstance(message, Start):
                self._fork(message)
            elif isinstance(message, Kill):
                self._kill(message.token)
            elif self.answer is not None:
                before = os.getpid()
                said = self.answer(message)
                if os.getpid() != before:
                    self._forget_children()  # they are children of the process that waits behind this one
                open_files.note([*self.children])  # modules may have been imported
                if said is not None:
                    self._tell(said)
            if self.prefork is not None:
                self.prefork.request()
        return not closed

    def _kill(self, token: int) -> None:
        """Kill a child here, in the process that reaps it: until a child is reaped, its process id cannot be reused."""
        for pid, (its, _) in self.children.items():
            if its == token:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def _tell(self, message: Any) -> None:
        """Send a message to the controller.

        If the controller has closed the channel, the next poll of the channel ends this process.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.control.send(-1, message)

    def _forget_children(self) -> None:
        for _, pidfd in self.children.values():
            if pidfd >= 0:
                self.poll.unregister(pidfd)
                os.close(pidfd)
        self.children.clear()

    def _fork(self, start: Start) -> None:
        descriptors = self._descriptors(start)
        try:
            self._fork_with(start, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _descriptors(self, start: Start) -> list[int]:
        """Return the open files that came with this request."""
        received = self.control.descriptors
        if not start.descriptors or received is None:
            return []
        taken = received[: start.descriptors]
        del received[: start.descriptors]
        return taken

    def _fork_with(self, start: Start, descriptors: list[int]) -> None:
        pid = self.prefork.hand_over(start, descriptors) if self.prefork is not None else 0
        if pid:
            self.children[pid] = (start.token, self.children[pid][1])
        else:
            try:
                pid = fork_quietly()
            except OSError as error:
                self._tell(Refused(start.token, error.errno or 0))
                return
            if pid == 0:
                self._become(start, descriptors)
            self._adopt(pid, start.token, own_group=start.own_group)
        self._tell(Started(start.token, pid))

    def _adopt(self, pid: int, token: int, *, own_group: bool) -> None:
        """Register a new child."""
        if own_group:
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)  # parent and child both call it; the first call takes effect
        pidfd = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(pid)
                self.poll.register(pidfd, select.POLLIN)
        self.children[pid] = (token, pidfd)

    def _fork_ahead(self, ahead: Prefork) -> None:
        """Prefork a child. If the fork fails, the next child is forked when it is requested."""
        try:
            ahead.prepare()
            pid = fork_quietly()
        except OSError:
            ahead.forked(0)
            return
        if pid == 0:
            self._become_ahead(ahead)
        ahead.forked(pid)
        self._adopt(pid, _NOBODY, own_group=True)

    def _become_ahead(self, ahead: Prefork) -> None:
        """Run in a preforked child: wait for the request, then serve it. Returns only by :class:`Unwind`."""
        try:
            self._leave()
            start, descriptors = ahead.wait()
        except BaseException:
            os._exit(70)
        try:
            self._live(start, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _become(self, start: Start, descriptors: list[int]) -> None:
        """Run in the child that a request asked for. Returns only by :class:`Unwind`."""
        self._leave()
        self._live(start, descriptors)

    def _leave(self) -> None:
        """Give up, in a child, everything that belongs to the fork point."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._child_handler not in (signal.SIG_DFL, None):  # None: not set from Python
            signal.signal(signal.SIGCHLD, self._child_handler)
        adoption.stay()
        self.control.close()
        for descriptor in [*(self.control.descriptors or ()), *(fd for _, fd in self.children.values())]:
            if descriptor >= 0:
                os.close(descriptor)
        open_files.renew()
        if self.prefork is not None:
            self.prefork.abandon()
            self.prefork.begin()

    def _live(self, start: Start, descriptors: list[int]) -> None:
        try:
            self.run_child(start, descriptors)
        except Unwind:
            raise
        except BaseException:  # no caller's code may run in a child
            os._exit(70)
        os._exit(70)

    def _reap(self) -> None:
        gone: dict[int, Gone] = {}
        left = leftovers.collect(lambda: self._wait_for_ended(gone), self._ours)
        for pid, message in gone.items():
            if message.token != _NOBODY:
                self._tell(message._replace(leftovers=tuple(left[pid])))
            elif self.prefork is not None and self.prefork.pid == pid:
                self.prefork.discard()

    def _wait_for_ended(self, gone: dict[int, Gone]) -> list[int]:
        """Reap the children that have ended by now, and add them to ``gone``."""
        found = []
        for pid, (token, pidfd) in list(self.children.items()):
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if not ended:
                continue
            found.append(pid)
            gone[pid] = Gone(token, status, (), used.ru_utime + used.ru_stime)
            del self.children[pid]
            if pidfd >= 0:
                self.poll.unregister(pidfd)
                os.close(pidfd)
        return found

    def _ours(self) -> set[int]:
        return {*self.children, *self._kept}

    def _end_all(self) -> None:
        leftovers.collect(self._kill_and_wait, self._ours)
        leftovers.end_snapshots()

    def _kill_and_wait(self) -> list[int]:
        pids = list(self.children)
        self.children.clear()
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        return pids
