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
from pytest_hotreload.watch.attach_client import ClientConnection, difference, unsuitable
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
        self._clients: set[ClientConnection] = set()
        self._runs: dict[int, ClientConnection] = {}
        self._stopping: list[ClientConnection] = []
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
        return any(client.token or client.request is not None for client in self._clients)

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
        client = ClientConnection(connection)
        self._clients.add(client)
        self.selector.register(connection, selectors.EVENT_READ, functools.partial(self._listen, client))

    def _listen(self, client: ClientConnection) -> None:
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        try:
            data, descriptors, _, _ = socket.recv_fds(client.connection, _TAKEN, 3, flags)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, descriptors = b"", []
        client.descriptors += descriptors
        if not data:
            self._lost(client)
            return
        client.heard += data
        try:
            self._understand(client)
        except ValueError:
            self._drop(client)

    def _understand(self, client: ClientConnection) -> None:
        """Handle the received bytes. Raises ValueError if they violate the protocol."""
        if client.request is None:
            length = int.from_bytes(client.heard[: meeting.LENGTH_BYTES], "big")
            end = meeting.LENGTH_BYTES + length
            if len(client.heard) < meeting.LENGTH_BYTES or len(client.heard) < end:
                if length > meeting.LARGEST_REQUEST:
                    raise ValueError(length)
                return
            body, client.heard = client.heard[meeting.LENGTH_BYTES : end], client.heard[end:]
            client.request = meeting.read(body)
            self._asked(client, client.request)
        *lines, client.heard = client.heard.split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"signal":
                self._signal(client, signal.Signals(int(number)))

    def _lost(self, client: ClientConnection) -> None:
        """Handle the loss of a client: its run is interrupted, and gets a limited time for its teardown."""
        if not client.token:
            self._drop(client)
        elif not client.dead:
            client.dead, client.deadline = True, time.monotonic() + _GRACE
            self.selector.unregister(client.connection)
            self._signal(client, signal.SIGINT)

    def _drop(self, client: ClientConnection) -> None:
        self._clients.discard(client)
        self._runs.pop(client.token, None)
        if not client.dead:
            self.selector.unregister(client.connection)
        client.drop_descriptors()
        if client.channel is not None:
            client.channel.close()
        client.connection.close()
        self.idle_since = time.monotonic()
        self.prepared.release()
        self.processes.release()

    # -- requests ----------------------------------------------------------------------------------

    def _asked(self, client: ClientConnection, request: meeting.Request) -> None:
        if request.kind == "run":
            why = unsuitable(request, self.root)
            over = "" if why else self._over()
            if why or over or self.starting:
                self._cold(client, why or over or self.starting, "over" if over else "cold")
                return
            renewed = self._renewed()
            if renewed:
                self.prepared.drop_all()
                client.say(f"say {messages.new_template(renewed)}")
            self.advance()
        elif request.kind == "status":
            for line in self._status():
                client.say(f"out {line}")
            self._end(client, 0)
        elif self._stop is None:
            client.say(f"say {attach_messages.NOT_STOPPED}")
            self._end(client, 1)
        else:
            self._stopping.append(client)  # the answer follows when all processes are gone
            self._stop()

    def _status(self) -> list[str]:
        running = sum(1 for client in self._runs.values() if client.pid)
        warmed = self.processes.warmed if self.processes.surveyed else None
        return [
            *attach_messages.server(self.kind, self.root, self._began, warmed, self._count, running),
            *attach_messages.imported_ahead(*self.prepared.described()),
        ]

    def advance(self) -> None:
        """Start the waiting runs if the template is ready. To be called whenever that may have changed."""
        waiting = [
            client
            for client in self._clients
            if not client.token and client.request is not None and client.request.kind == "run"
        ]
        template = self.processes.template
        for client in waiting:
            if template is None or template.state == "gone":
                self._cold(client, messages.TEMPLATE_ENDED)
            elif self.processes.surveyed:
                self._run(client, template)

    def _run(self, client: ClientConnection, template: Process) -> None:
        request = client.request
        assert request is not None
        differs = difference(request.environment, self.processes.environment, self.processes.asked)
        if differs or len(client.descriptors) != 3:
            self._cold(
                client, attach_messages.other_variable(differs) if differs else attach_messages.NO_DESCRIPTORS
            )
            return
        client.token, client.template = next(self._tokens), template
        self._runs[client.token] = client
        self._count += 1
        order: Any = Attach(
            self.root,
            tuple(request.arguments),
            dict(request.environment),
            request.folder,
            int(request.umask, 8),
        )
        client.order, client.point = (
            order,
            self.prepared.point(order, on_terminal=os.isatty(client.descriptors[1])),
        )
        client.channel, theirs = pair()
        descriptors = [*client.descriptors, theirs.fileno()]
        try:
            (client.point or template).channel.send_with(
                Start(client.token, 0, (), False, order, len(descriptors)), descriptors
            )
        except OSError:
            self._runs.pop(client.token)
            client.token = 0
            self._cold(client, messages.TEMPLATE_ENDED)
            return
        finally:
            theirs.close()
        client.drop_descriptors()

    def _cold(self, client: ClientConnection, why: str, word: str = "cold") -> None:
        client.say(f"{word} {why}")
        self._drop(client)

    def _end(self, client: ClientConnection, status: int) -> None:
        client.say(f"end {status}")
        self._drop(client)

    # -- messages about runs -------------------------------------------------------------------------

    def hear(self, process: Process, message: Any) -> None:
        """Handle a template's message, which may be about an attached run; ``None``: the process has ended."""
        if message is None:
            self._parent_gone(process)
        client = self._runs.get(message.token) if isinstance(message, Started | Gone | Refused) else None
        if client is not None:
            self._of_run(client, message)
        else:
            self.prepared.hear(process, message)
        self.advance()

    def _of_run(self, client: ClientConnection, message: Started | Gone | Refused) -> None:
        if isinstance(message, Started):
            client.pid = message.pid
            client.say(f"run {message.pid}")
            for number in client.untold:
                self._kill(client, number)
        elif isinstance(message, Refused):
            self._cold(client, attach_messages.not_forked(message.errno))
        else:
            client.pid = 0
            for text in message.leftovers:
                client.say(f"say {attach_messages.left_behind(text)}")
            facts = self._learn(client)
            status = os.waitstatus_to_exitcode(message.status)
            self._end(client, status if status >= 0 else 128 - status)
            if facts is not None and client.order is not None and self.kind == "serve":
                self.prepared.ran(client.order, facts)  # a watch has its own chain to keep

    def _learn(self, client: ClientConnection) -> RunFacts | None:
        """Warm modules that several runs had to import: no test file names the modules that plugins load late.

        Returns the facts of the run, if it reported one.
        """
        facts = None
        frames, _ = client.channel.drain() if client.channel is not None else ([], True)
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

    def _signal(self, client: ClientConnection, number: int) -> None:
        if client.pid:
            self._kill(client, number)
        elif client.token:
            client.untold.append(number)
        elif number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._end(client, 128 + number)  # no run has been requested from the template yet

    def _kill(self, client: ClientConnection, number: int) -> None:
        """Signal the run, or its process group, which the run leads only after its first steps."""
        if not client.pid:
            return
        with contextlib.suppress(OSError):
            if number in _PERSONAL:
                os.kill(client.pid, number)
                return
            try:
                os.killpg(client.pid, number)
            except ProcessLookupError:
                os.kill(client.pid, number)

    def _parent_gone(self, process: Process) -> None:
        """Drop the runs of a template, or of a prepared process, that has ended: they ended with it."""
        for client in [each for each in self._runs.values() if process in (each.template, each.point)]:
            self._drop(client)

    def _in_use(self, template: Process) -> bool:
        return any(client.template is template for client in self._runs.values())

    def _is_parent(self, point: Process) -> bool:
        return any(client.point is point for client in self._runs.values())

    # -- time, and the end -----------------------------------------------------------------------------

    def wait(self) -> float | None:
        """Seconds until :meth:`tick` has something to do; None for never."""
        now = time.monotonic()
        waits = [max(client.deadline - now, 0.0) for client in self._runs.values() if client.deadline]
        prepared = self.prepared.wait()
        return min([*waits, *([] if prepared is None else [prepared])], default=None)

    def tick(self) -> None:
        """Kill the runs of dead clients whose deadline has passed, and prepare what is due."""
        self.prepared.tick()
        now = time.monotonic()
        for client in list(self._runs.values()):
            if client.deadline and client.deadline <= now:
                client.deadline = 0.0
                self._kill(client, signal.SIGKILL)

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
        for client in self._stopping:
            client.say(f"out {attach_messages.STOPPED}")
            client.say("end 0")
        for client in list(self._clients):
            client.drop_descriptors()
            client.connection.close()
