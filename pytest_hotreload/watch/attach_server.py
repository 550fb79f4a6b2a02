"""The server's side of attached runs: accepts clients, checks their requests, and starts and ends their runs.

This is a part of the loop of a watch or of ``serve``: it registers its sockets with the loop's selector and never
waits. Only processes of the same user are accepted, and their requests are read as text: nothing is unpickled or
executed.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from pytest_hotreload.imports.learning import Learner
from pytest_hotreload.process.channel import pair
from pytest_hotreload.process.fork_messages import Gone, Refused, Start, Started
from pytest_hotreload.watch import attach_messages, messages
from pytest_hotreload.watch.attach_client import Caller, difference, unsuitable
from pytest_hotreload.watch.attach_protocol import Attach, Learned, RunFacts
from pytest_hotreload.watch.endpoint import Endpoint
from pytest_hotreload.watch.prepared_runs import PreparedRuns
from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.protocol import Unfit
from pytest_hotreload.watch.template_processes import TemplateProcesses
from pytest_hotreload_client import meeting

#: Seconds that a run has for its teardown after its client died.
_GRACE = 2.0
#: Signals that are sent only to a run's own process; others go to its process group, like a terminal's signals.
_PERSONAL = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_TAKEN = 65536
#: The most warm-ups for modules that runs reported: each leaves a waiting process behind (template.py).
_LESSONS = 4


class AttachServer:
    """Serves attached runs on an endpoint.

    ``kind`` is "watch" or "serve". ``renewed`` is called before each run: it renews an outdated template, and returns
    the reason in words, or "" if the template is up to date. ``stop`` ends the server; it is None if a client may not
    do that. ``over`` returns the reason for which the server serves no more runs, or "".
    """

    def __init__(
        self,
        kind: str,
        root: str,
        processes: TemplateProcesses,
        selector: selectors.BaseSelector,
        renewed: Callable[[], str],
        stop: Callable[[], None] | None = None,
        over: Callable[[], str] = str,
    ) -> None:
        self.kind, self.root = kind, os.path.realpath(root)
        self.processes, self.selector = processes, selector
        self._renewed, self._stop, self._over = renewed, stop, over
        #: The reason for which runs are cold as long as the template is not warm; "" if they wait for it.
        self.starting = ""
        self.endpoint: Endpoint | None = None
        #: The time at which the last run ended, in monotonic seconds.
        self.idle_since = time.monotonic()
        self._callers: set[Caller] = set()
        self._runs: dict[int, Caller] = {}
        self._stopping: list[Caller] = []
        self._tokens = itertools.count(-1, -1)
        self._learner, self._lessons = Learner(), 0
        self.prepared = PreparedRuns(
            self.root, processes, lambda: next(self._tokens), self._is_parent, lambda: self.busy
        )
        #: Modules that the next template imports in addition to those that test files import.
        self.learned: list[str] = []
        self._began, self._count = time.time(), 0
        processes.in_use = self._in_use

    def open(self) -> None:
        """Start listening. Raises OSError or OccupiedError; the text is for the user."""
        self.endpoint = Endpoint(self.root)
        self.selector.register(self.endpoint.socket, selectors.EVENT_READ, self._accept)

    @property
    def busy(self) -> bool:
        """Whether a run is at work or waits for the template."""
        return any(caller.token or caller.request is not None for caller in self._callers)

    # -- listening ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self.endpoint is not None
        try:
            connection, _ = self.endpoint.socket.accept()
        except OSError:
            return
        if not meeting.peer_is_us(connection):
            connection.close()
            return
        connection.setblocking(False)
        caller = Caller(connection)
        self._callers.add(caller)
        self.selector.register(connection, selectors.EVENT_READ, functools.partial(self._listen, caller))

    def _listen(self, caller: Caller) -> None:
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        try:
            data, descriptors, _, _ = socket.recv_fds(caller.connection, _TAKEN, 3, flags)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, descriptors = b"", []
        caller.descriptors += descriptors
        if not data:
            self._lost(caller)
            return
        caller.heard += data
        try:
            self._understand(caller)
        except ValueError:
            self._drop(caller)

    def _understand(self, caller: Caller) -> None:
        """Handle the received bytes. Raises ValueError if they violate the protocol."""
        if caller.request is None:
            length = int.from_bytes(caller.heard[: meeting.LENGTH_BYTES], "big")
            end = meeting.LENGTH_BYTES + length
            if len(caller.heard) < meeting.LENGTH_BYTES or len(caller.heard) < end:
                if length > meeting.LARGEST_REQUEST:
                    raise ValueError(length)
                return
            body, caller.heard = caller.heard[meeting.LENGTH_BYTES : end], caller.heard[end:]
            caller.request = meeting.read(body)
            self._asked(caller, caller.request)
        *lines, caller.heard = caller.heard.split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"signal":
                self._signal(caller, signal.Signals(int(number)))

    def _lost(self, caller: Caller) -> None:
        """Handle the loss of a client: its run is interrupted, and gets a limited time for its teardown."""
        if not caller.token:
            self._drop(caller)
        elif not caller.dead:
            caller.dead, caller.deadline = True, time.monotonic() + _GRACE
            self.selector.unregister(caller.connection)
            self._signal(caller, signal.SIGINT)

    def _drop(self, caller: Caller) -> None:
        self._callers.discard(caller)
        self._runs.pop(caller.token, None)
        if not caller.dead:
            self.selector.unregister(caller.connection)
        caller.drop_descriptors()
        if caller.channel is not None:
            caller.channel.close()
        caller.connection.close()
        self.idle_since = time.monotonic()
        self.prepared.release()
        self.processes.release()

    # -- requests ----------------------------------------------------------------------------------

    def _asked(self, caller: Caller, request: meeting.Request) -> None:
        if request.kind == "run":
            why = unsuitable(request, self.root)
            over = "" if why else self._over()
            if why or over or self.starting:
                self._cold(caller, why or over or self.starting, "over" if over else "cold")
                return
            renewed = self._renewed()
            if renewed:
                self.prepared.drop_all()
                caller.say(f"say {messages.new_template(renewed)}")
            self.advance()
        elif request.kind == "status":
            for line in self._status():
                caller.say(f"out {line}")
            self._end(caller, 0)
        elif self._stop is None:
            caller.say(f"say {attach_messages.NOT_STOPPED}")
            self._end(caller, 1)
        else:
            self._stopping.append(caller)  # the answer follows when all processes are gone
            self._stop()

    def _status(self) -> list[str]:
        running = sum(1 for caller in self._runs.values() if caller.pid)
        warmed = self.processes.warmed if self.processes.surveyed else None
        return [
            *attach_messages.server(self.kind, self.root, self._began, warmed, self._count, running),
            *attach_messages.imported_ahead(*self.prepared.described()),
        ]

    def advance(self) -> None:
        """Start the waiting runs if the template is ready. To be called whenever that may have changed."""
        waiting = [
            caller
            for caller in self._callers
            if not caller.token and caller.request is not None and caller.request.kind == "run"
        ]
        template = self.processes.template
        for caller in waiting:
            if template is None or template.state == "gone":
                self._cold(caller, messages.TEMPLATE_ENDED)
            elif self.processes.surveyed:
                self._run(caller, template)

    def _run(self, caller: Caller, template: Process) -> None:
        request = caller.request
        assert request is not None
        differs = difference(request.environment, self.processes.environment, self.processes.asked)
        if differs or len(caller.descriptors) != 3:
            self._cold(
                caller, attach_messages.other_variable(differs) if differs else attach_messages.NO_DESCRIPTORS
            )
            return
        caller.token, caller.template = next(self._tokens), template
        self._runs[caller.token] = caller
        self._count += 1
        order: Any = Attach(
            self.root,
            tuple(request.arguments),
            dict(request.environment),
            request.folder,
            int(request.umask, 8),
        )
        caller.order, caller.point = (
            order,
            self.prepared.point(order, on_terminal=os.isatty(caller.descriptors[1])),
        )
        caller.channel, theirs = pair()
        descriptors = [*caller.descriptors, theirs.fileno()]
        try:
            (caller.point or template).channel.send_with(
                Start(caller.token, 0, (), False, order, len(descriptors)), descriptors
            )
        except OSError:
            self._runs.pop(caller.token)
            caller.token = 0
            self._cold(caller, messages.TEMPLATE_ENDED)
            return
        finally:
            theirs.close()
        caller.drop_descriptors()

    def _cold(self, caller: Caller, why: str, word: str = "cold") -> None:
        caller.say(f"{word} {why}")
        self._drop(caller)

    def _end(self, caller: Caller, status: int) -> None:
        caller.say(f"end {status}")
        self._drop(caller)

    # -- messages about runs -------------------------------------------------------------------------

    def hear(self, process: Process, message: Any) -> None:
        """Handle a template's message, which may be about an attached run; ``None``: the process has ended."""
        if message is None:
            self._parent_gone(process)
        caller = self._runs.get(message.token) if isinstance(message, Started | Gone | Refused) else None
        if caller is not None:
            self._of_run(caller, message)
        else:
            self.prepared.hear(process, message)
        self.advance()

    def _of_run(self, caller: Caller, message: Started | Gone | Refused) -> None:
        if isinstance(message, Started):
            caller.pid = message.pid
            caller.say(f"run {message.pid}")
            for number in caller.untold:
                self._kill(caller, number)
        elif isinstance(message, Refused):
            self._cold(caller, attach_messages.not_forked(message.errno))
        else:
            caller.pid = 0
            for text in message.leftovers:
                caller.say(f"say {attach_messages.left_behind(text)}")
            facts = self._learn(caller)
            status = os.waitstatus_to_exitcode(message.status)
            self._end(caller, status if status >= 0 else 128 - status)
            if facts is not None and caller.order is not None and self.kind == "serve":
                self.prepared.ran(caller.order, facts)  # a watch has its own chain to keep

    def _learn(self, caller: Caller) -> RunFacts | None:
        """Warm modules that several runs had to import: no test file names the modules that plugins load late.

        Returns the facts of the run, if it reported one.
        """
        facts = None
        frames, _ = caller.channel.drain() if caller.channel is not None else ([], True)
        for _, message in frames:
            if isinstance(message, Unfit):
                self.processes.keep_out(message)
            elif isinstance(message, Learned):
                facts = message.facts
                self._add(message.modules)
        return facts

    def _add(self, found: Sequence[str]) -> None:
        modules = self._learner.add(found) if self._lessons < _LESSONS else []
        if modules:
            self._lessons += 1
            self.learned += modules
            self.prepared.drop_all()  # the next ones find these modules, too
            self.processes.warm(modules)

    def _signal(self, caller: Caller, number: int) -> None:
        if caller.pid:
            self._kill(caller, number)
        elif caller.token:
            caller.untold.append(number)
        elif number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._end(caller, 128 + number)  # no run has been requested from the template yet

    def _kill(self, caller: Caller, number: int) -> None:
        """Signal the run, or its process group, which the run leads only after its first steps."""
        if not caller.pid:
            return
        with contextlib.suppress(OSError):
            if number in _PERSONAL:
                os.kill(caller.pid, number)
                return
            try:
                os.killpg(caller.pid, number)
            except ProcessLookupError:
                os.kill(caller.pid, number)

    def _parent_gone(self, process: Process) -> None:
        """Drop the runs of a template, or of a prepared process, that has ended: they ended with it."""
        for caller in [each for each in self._runs.values() if process in (each.template, each.point)]:
            self._drop(caller)

    def _in_use(self, template: Process) -> bool:
        return any(caller.template is template for caller in self._runs.values())

    def _is_parent(self, point: Process) -> bool:
        return any(caller.point is point for caller in self._runs.values())

    # -- time, and the end -----------------------------------------------------------------------------

    def wait(self) -> float | None:
        """Seconds until :meth:`tick` has something to do; None for never."""
        now = time.monotonic()
        waits = [max(caller.deadline - now, 0.0) for caller in self._runs.values() if caller.deadline]
        prepared = self.prepared.wait()
        return min([*waits, *([] if prepared is None else [prepared])], default=None)

    def tick(self) -> None:
        """Kill the runs of dead clients whose deadline has passed, and prepare what is due."""
        self.prepared.tick()
        now = time.monotonic()
        for caller in list(self._runs.values()):
            if caller.deadline and caller.deadline <= now:
                caller.deadline = 0.0
                self._kill(caller, signal.SIGKILL)

    def close_endpoint(self) -> None:
        """Stop listening. Runs go on."""
        if self.endpoint is not None:
            with contextlib.suppress(KeyError, ValueError):
                self.selector.unregister(self.endpoint.socket)
            self.endpoint.close()
            self.endpoint = None

    def close(self) -> None:
        """Stop listening, and drop all clients. To be called after the templates, with their runs, have ended."""
        self.close_endpoint()
        for caller in self._stopping:
            caller.say(f"out {attach_messages.STOPPED}")
            caller.say("end 0")
        for caller in list(self._callers):
            caller.drop_descriptors()
            caller.connection.close()
