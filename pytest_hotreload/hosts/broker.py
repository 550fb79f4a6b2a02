"""The broker: a fresh interpreter that holds all gateways and passes bytes between hosts and the controller.

execnet reads each gateway in a thread, and a controller that forks must have no threads. The broker passes bytes on
without interpreting them. When the controller ends for any reason, all gateways end with this process.
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

#: Seconds that gateways have to end by themselves after a run; then execnet kills their processes.
_PATIENCE = 2.0


#: Bytes from the end of standard error in which the last line is looked for.
_TAIL = 1000


class Gate:
    """One gateway, from its opening to its end. A thread of its own opens the gateway and writes to it."""

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
        with contextlib.suppress(OSError):  # the callback reports the end of the gateway
            while not self._closed:
                self.channel.send(self._down.get())

    def _open(self) -> None:
        self.group = execnet.Group()
        gateway = self.group.makegateway(execnet.XSpec(self.order.spec))
        self.channel = gateway.remote_exec(agent)
        self.channel.send(self.order.order)
        self.channel.setcallback(self._up, endmarker=None)

    def _up(self, item: Any) -> None:
        """Handle what the agent sends: bytes, and finally the end of its pytest. None: the gateway is gone."""
        if isinstance(item, bytes):
            self.control.send(self.number, Data(item))
        elif isinstance(item, tuple):
            self._close("", *item)
        else:
            error = self.channel._getremoteerror()
            self._close(self._death() if error is None or isinstance(error, EOFError) else _said(error))

    def _death(self) -> str:
        """A description of how the gateway's process ended, if that process was started here."""
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
        """Queue bytes for the host. Never blocks: the controller must be able to send while a host sends as well."""
        self._down.put(data)

    def shut(self) -> None:
        if self.group is not None:
            self.group.terminate(_PATIENCE)


class Control:
    """The channel to the controller, on which any thread may send."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._lock = threading.Lock()

    def send(self, number: int, message: Any) -> None:
        with self._lock, contextlib.suppress(OSError):  # the main thread notices the controller's end
            self.channel.send(number, message)


def _said(error: Any) -> str:
    """The last line of execnet's error message, without the names of its own errors."""
    if type(error).__name__ == "HostNotFound":
        return f"ssh can't connect to {error}"
    if isinstance(error, EOFError | AssertionError | BrokenPipeError) or not str(error).strip():
        return "its gateway closed while it was being opened"
    return str(error).strip().splitlines()[-1].removeprefix("FileNotFoundError: ")


def _stderr_tail() -> str:
    """The last line on standard error, most likely printed by ssh.

    The broker's standard error is a file that all gateways share.
    """
    size = os.fstat(2).st_size
    text = os.pread(2, _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace")
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def serve(channel: Channel) -> None:
    """Pass messages on until the controller closes its end of the channel, then end all gateways."""
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
    """Run the broker. The command-line arguments are two inherited descriptors: the lifeline and the socket."""
    lifeline, control = (int(number) for number in sys.argv[1:])
    for descriptor in (lifeline, control):
        os.set_inheritable(descriptor, False)
    end_with(lifeline)
    try:
        serve(Channel(sockets.socket(fileno=control)))
    finally:
        # Kill the process group that this process leads: an ssh that still waits for an answer, a gateway that did
        # not end, and this process, whose threads may wait for them.
        os.killpg(0, signal.SIGKILL)
