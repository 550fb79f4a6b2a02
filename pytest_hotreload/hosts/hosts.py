"""The user's controller's view of its hosts: their connections, slots and test files.

A broker (``hosts/broker.py``) holds the gateways. The broker is a fresh interpreter with one channel to this process,
so that this process needs no threads for gateways, and every host ends with the broker.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_hotreload import __version__, host_options
from pytest_hotreload.compat.xdist import Nodes
from pytest_hotreload.host_options import Spec
from pytest_hotreload.hosts import messages
from pytest_hotreload.hosts.protocol import (
    LONGEST_GREETING,
    VERSION,
    Begin,
    Closed,
    Data,
    Finish,
    Greeting,
    Interrupt,
    Open,
    Shut,
    Worker,
)
from pytest_hotreload.process.channel import Channel, Inbox, pack, pair
from pytest_hotreload.run.schedule import Group
from pytest_hotreload.world import BUILTINS, contextlib, pytest, select, subprocess, time

__builtins__ = BUILTINS

#: The broker's program, with the path to this package and execnet: the broker is isolated from the user's folder and
#: environment variables.
_BOOT = "import sys; sys.path += {path!r}; from pytest_hotreload.hosts.broker import main; main()"
#: Seconds that hosts may take for the end of their session. Plain pytest waits for ever.
_END_SECONDS = 60.0


@dataclass(eq=False)
class RemoteHost:
    """A host, as the user's controller sees it."""

    number: int
    spec: Spec
    slots: int = 0
    workers: list[RemoteSlot] = field(default_factory=list)
    greeting: Greeting | None = None
    #: The number of files that the host has requested and not received.
    wants: int = 0
    #: The groups that the host has received and not completed.
    out: list[Group] = field(default_factory=list)
    #: Whether the host has finished its collection, and so has requested files.
    collected: bool = False
    #: Whether the host has no living child after an interrupt.
    idle: bool = False
    #: Whether the host has ended or counts as lost.
    gone: bool = False
    inbox: Inbox = field(default_factory=Inbox)
    #: Received bytes before the end of the greeting; afterwards, the bytes that followed the greeting.
    said: bytes = b""

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(eq=False)
class RemoteSlot:
    """A host's slot, with the attributes that :class:`Nodes` needs."""

    worker_id: str
    node: Any = None


class Hosts:
    """All hosts of a run.

    ``slots``: the number of slots of each host, or None for the number of its processors.
    """

    def __init__(
        self,
        config: pytest.Config,
        specs: Sequence[Spec],
        slots: int | None,
        lifeline: int,
        environment: Mapping[str, str],
    ) -> None:
        """Start the broker, and let it open the gateways."""
        self.config, self.asked = config, slots
        self.all = [RemoteHost(number, spec) for number, spec in enumerate(specs)]
        self.nodes = Nodes(config, [])
        self.channel = self._start_broker(lifeline, environment)
        for host in self.all:
            self.channel.send(host.number, Open(host.spec.xspec(), self._order(host.spec, environment)))

    def _start_broker(self, lifeline: int, environment: Mapping[str, str]) -> Channel:
        import execnet

        ours, theirs = pair()
        found = [str(Path(__file__).parents[2]), str(Path(str(execnet.__file__)).parents[1])]
        passed = [lifeline, theirs.fileno()]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it has no name, and ends with the broker
        self._broker = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT.format(path=found), *map(str, passed)],
            cwd=self.config.invocation_params.dir,
            env=dict(environment),
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,  # this process passes Ctrl-C on
        )
        theirs.close()
        return ours

    def _order(self, spec: Spec, environment: Mapping[str, str]) -> dict[str, Any]:
        invocation = self.config.invocation_params
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        return host_options.order(spec, invocation.dir, list(map(str, invocation.args)), flags, environment)

    # -- the greeting ----------------------------------------------------------------------------

    @property
    def alive(self) -> list[RemoteHost]:
        return [host for host in self.all if not host.gone]

    @property
    def total(self) -> int:
        """The number of slots of all hosts."""
        return sum(host.slots for host in self.all)

    def listed(self) -> str:
        """The list of hosts for the header."""
        return messages.hosts([(host.name, host.slots) for host in self.all])

    def closing(self, files: int, children: int) -> str:
        """The last line of the run."""
        return messages.closing(files, children, len(self.all))

    def connect(self) -> None:
        """Wait for all greetings, then let the hosts begin. Raises :class:`pytest.UsageError`."""
        while not all(host.greeting for host in self.all):
            for number, message in self._frames():
                self._greeted(self.all[number], message)
        self._number_slots()
        machines = [host.greeting.machine for host in self.all if host.greeting is not None]
        for host in self.all:
            assert host.greeting is not None
            crowded = machines.count(host.greeting.machine) > 1
            workers = tuple(
                Worker(each.worker_id, each.node.workerinput, self.nodes.environ(each))
                for each in host.workers
            )
            self.send(host, Begin(host.number, workers, crowded))

    def _frames(self) -> list[tuple[int, Any]]:
        try:
            return [self.channel.receive(), *self.channel.drain()[0]]
        except (EOFError, OSError):
            return [(host.number, Closed("the broker ended", None, "")) for host in self.alive]

    def _greeted(self, host: RemoteHost, message: Any) -> None:
        if isinstance(message, Closed):
            why = message.why or messages.ended(message.status, message.tail)
            raise messages.not_there(host.name, why)
        host.said += message.data
        line, newline, rest = host.said.partition(b"\n")
        if not newline and len(host.said) < LONGEST_GREETING:
            return
        try:
            host.greeting = Greeting.read(line)
        except ValueError:
            raise messages.not_there(host.name, f"it sent an unexpected greeting: {line[:80]!r}") from None
        host.said = rest
        self._check(host, host.greeting)
        host.slots = self.asked or host.greeting.processors

    def _check(self, host: RemoteHost, there: Greeting) -> None:
        ours, theirs = (__version__, VERSION), (there.version, there.protocol)
        if ours != theirs:
            texts = [f"{version} (protocol {protocol})" for version, protocol in (ours, theirs)]
            raise messages.other_version(host.name, "pytest-hotreload", *texts)
        if there.pytest != pytest.__version__:
            raise messages.other_version(host.name, "pytest", pytest.__version__, there.pytest)

    def _number_slots(self) -> None:
        count = 0
        for host in self.all:
            host.workers = [RemoteSlot(f"gw{count + each}") for each in range(host.slots)]
            count += host.slots
        self.nodes.slots = [worker for host in self.all for worker in host.workers]
        self.nodes.configure()

    # -- the run -----------------------------------------------------------------------------------

    def send(self, host: RemoteHost, message: Any) -> None:
        """Send a message to the pytest of a host."""
        with contextlib.suppress(OSError):  # the broker's end is read next
            self.channel.send(host.number, Data(pack(-1, message)))

    def read(self) -> Iterator[tuple[RemoteHost, Any]]:
        """All messages that can be read without waiting, each as (host, message or :class:`Closed`)."""
        frames, closed = self.channel.drain()
        for number, message in frames:
            host = self.all[number]
            if host.gone:
                continue
            if isinstance(message, Closed):
                yield host, message
            else:
                for _, batch in host.inbox.feed(message.data):
                    for each in batch.messages:
                        yield host, each
        for host in self.alive if closed else []:
            yield host, Closed("the broker ended", None, "")

    def interrupt(self) -> None:
        """Interrupt all hosts, after a Ctrl-C. A host that still collects has no child, and counts as idle."""
        for host in self.alive:
            if host.collected:
                self.send(host, Interrupt())
            else:
                host.idle = True

    @property
    def running(self) -> list[Group]:
        """The groups that hosts have received and not completed."""
        return [group for host in self.all for group in host.out]

    # -- the end -----------------------------------------------------------------------------------

    def shut(self, host: RemoteHost) -> None:
        """Close the gateway of a host from which no more messages are expected."""
        host.gone = True
        with contextlib.suppress(OSError):
            self.channel.send(host.number, Shut())

    def finish(self) -> Iterator[tuple[RemoteHost, Any]]:
        """Let the hosts end their sessions, and yield their last messages. Hosts that still collect are ended."""
        for host in self.alive:
            if host.collected:
                self.send(host, Finish())
            else:
                self.shut(host)
        deadline = time.monotonic() + _END_SECONDS
        while self.alive and (left := deadline - time.monotonic()) > 0:
            if select.select([self.channel], [], [], left)[0]:
                for host, message in self.read():
                    if isinstance(message, Closed):
                        host.gone = True
                    yield host, message

    def close(self) -> None:
        """End the broker and, with it, all remaining hosts. Idempotent."""
        self.channel.close()
        self._errors.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._broker.wait(_END_SECONDS)
        if self._broker.returncode is None:
            self._broker.kill()
            self._broker.wait()
        for host in self.all:
            host.gone = True
