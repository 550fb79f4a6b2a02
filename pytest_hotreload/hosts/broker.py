"""The broker: a fresh interpreter that holds all gateways and passes bytes between hosts and the controller.

execnet reads each gateway in a thread, and a controller that forks must have none. Nothing is looked into here,
and when the controller ends, by whatever death, all gateways end with this process.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
from typing import Any

import execnet

from pytest_hotreload.hosts import agent
from pytest_hotreload.hosts.protocol import Closed, Data, Open, Shut
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.world import sockets

#: Seconds that gateways get to end by themselves when all is over; execnet kills its processes then.
_PATIENCE = 2.0


#: How far back in it the last line is looked for.
_TAIL = 1000


class Gate:
    """One gateway, from its opening to its end; a thread of its own opens it and writes to it."""

    def __init__(self, number: int, order: Open, control: Control) -> None:
        self.number, self.order, self.control = number, order, control
        self.group: Any = None
        self.channel: Any = None
        self._down: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._closed = False

    def run(self) -> None:
        try:
            self._open()
        except BaseException as error:
            self._close(_said(error))
            return
        with contextlib.suppress(OSError):  # its end is told by the callback
            while not self._closed:
                self.channel.send(self._down.get())

    def _open(self) -> None:
        self.group = execnet.Group()
        gateway = self.group.makegateway(execnet.XSpec(self.order.spec))
        self.channel = gateway.remote_exec(agent)
        self.channel.send(self.order.order)
        self.channel.setcallback(self._up, endmarker=None)

    def _up(self, item: Any) -> None:
        """What the agent sends: bytes, and at last how its pytest ended. None: the gateway is gone."""
        if isinstance(item, bytes):
            self.control.send(self.number, Data(item))
        elif isinstance(item, tuple):
            self._close("", *item)
        else:
            error = self.channel._getremoteerror()
            self._close(self._death() if error is None or isinstance(error, EOFError) else _said(error))

    def _death(self) -> str:
        """Of the gateway's own process, as far as it is one of ours."""
        process = getattr(self.channel.gateway._io, "popen", None)
        try:
            status = process.wait(_PATIENCE) if process is not None else 0
        except Exception:
            status = 0
        if status < 0:
            return f"its gateway was killed by {signal.Signals(-status).name}"
        return f"its gateway ended with exit status {status}" if status else "its gateway closed"

    def _close(self, why: str, status: int | None = None, tail: str = "") -> None:
        if not self._closed:
            self._closed = True
            said = _stderr_tail() if why else ""
            self.control.send(self.number, Closed(f"{why} ({said})" if said else why, status, tail))

    def down(self, data: bytes) -> None:
        """Never blocks: the controller must get rid of what it says while a host has as much to say."""
        self._down.put(data)

    def shut(self) -> None:
        if self.group is not None:
            self.group.terminate(_PATIENCE)


class Control:
    """The controller's end; any thread may send."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._lock = threading.Lock()

    def send(self, number: int, message: Any) -> None:
        with self._lock, contextlib.suppress(OSError):  # that the controller is gone, the main thread sees
            self.channel.send(number, message)


def _said(error: Any) -> str:
    """The last line of what execnet says, without the names of its own errors."""
    if type(error).__name__ == "HostNotFound":
        return f"ssh can't connect to {error}"
    if isinstance(error, EOFError | AssertionError | BrokenPipeError) or not str(error).strip():
        return "its gateway closed while it was being opened"
    return str(error).strip().splitlines()[-1].removeprefix("FileNotFoundError: ")


def _stderr_tail() -> str:
    """What was printed last: by ssh, most likely. Our standard error is a file that all gateways share."""
    size = os.fstat(2).st_size
    text = os.pread(2, _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace")
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def serve(channel: Channel) -> None:
    """Until the controller closes its end."""
    control, gates = Control(channel), dict[int, Gate]()
    while True:
        try:
            number, message = channel.receive()
        except (EOFError, OSError):
            break
        if isinstance(message, Open):
            gate = gates[number] = Gate(number, message, control)
            threading.Thread(target=gate.run, daemon=True).start()
        elif isinstance(message, Data):
            gates[number].down(message.data)
        elif isinstance(message, Shut):
            threading.Thread(target=gates[number].shut, daemon=True).start()
    ends = [threading.Thread(target=gate.shut, daemon=True) for gate in gates.values()]
    for end in ends:
        end.start()
    for end in ends:
        end.join(2 * _PATIENCE)


def main() -> None:
    """``lifeline socket``: descriptors that were inherited."""
    lifeline, control = (int(number) for number in sys.argv[1:])
    for descriptor in (lifeline, control):
        os.set_inheritable(descriptor, False)
    end_with(lifeline)
    try:
        serve(Channel(sockets.socket(fileno=control)))
    finally:
        # We lead a group: an ssh that still waits for an answer, a gateway that did not end, and us, whose threads
        # may wait for them.
        os.killpg(0, signal.SIGKILL)
