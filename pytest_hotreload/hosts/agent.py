"""The agent: runs in a gateway's interpreter, starts the host's pytest and passes bytes between both.

execnet sends the source of this module, so that this package need not be importable there before pytest starts.
Therefore the module imports only the standard library.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Any

#: Bytes from the end of each output that are sent when a host ends: some 50 lines.
_TAIL = 4000
#: Seconds in which a pytest has to end after its lifeline is cut. A guard in the process takes milliseconds, if there
#: is one.
_PATIENCE = 5.0
_CHUNK = 65536


class Agent:
    """Starts one pytest, and connects it to the gateway's channel."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.order: dict[str, Any] = channel.receive()
        # These files have no names, and are removed when this process ends.
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.errors = self.output if self.order["one_stream"] else tempfile.TemporaryFile()  # noqa: SIM115
        self.socket, theirs = socket.socketpair()
        lifeline, self.held = os.pipe()
        self.ended, self._end = os.pipe()
        try:
            self.process = self._start(theirs, lifeline)
        finally:
            theirs.close()
            os.close(lifeline)
        threading.Thread(target=self._wait, daemon=True).start()
        channel.setcallback(self._down, endmarker=None)

    def _start(self, theirs: socket.socket, lifeline: int) -> subprocess.Popen[bytes]:
        order = self.order
        folder = os.path.abspath(os.path.expanduser(order["folder"]))  # noqa: PTH100, PTH111
        if not os.path.isdir(folder):  # noqa: PTH112
            raise FileNotFoundError("there is no folder " + folder)
        path = f"import sys; sys.path[:1] = sys.path[:1] if sys.path[0] else {[folder][: order['folder_first']]!r}; "
        return subprocess.Popen(
            [sys.executable, *order["flags"], "-c", path + order["code"]],
            cwd=folder,
            env={**order["environment"], **os.environ, order["variable"]: f"{lifeline},{theirs.fileno()}"},
            pass_fds=(lifeline, theirs.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.errors,
            start_new_session=True,
        )

    def _down(self, data: bytes | None) -> None:
        """Pass bytes from the gateway to pytest; None: the gateway is closed. Called by execnet's thread."""
        try:
            if data is None:
                os.close(self.held)  # the lifeline: pytest and its children end with it
                if self.process.wait(_PATIENCE) is None:
                    return
            else:
                self.socket.sendall(data)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass  # pytest has ended, which `run` reports

    def _wait(self) -> None:
        self.process.wait()
        os.close(self._end)

    def run(self) -> None:
        """Pass bytes until pytest has ended, and then send its exit status and the end of its output.

        The end of the process counts, not that of its socket, which forks of it may hold open.
        """
        either: list[Any] = [self.socket, self.ended]
        while True:
            ready = select.select(either, (), ())[0]
            if self.socket in ready:
                data = self._read()
                if data:
                    self.channel.send(data)
                    continue
            if self.ended in ready:
                break
            if self.socket in ready:  # the socket is closed, but pytest still runs
                select.select([self.ended], [], [])
                break
        texts = [_tail(file.fileno()) for file in dict.fromkeys((self.output, self.errors))]
        self.channel.send((self.process.returncode, "".join(texts)))

    def _read(self) -> bytes:
        try:
            return self.socket.recv(_CHUNK)
        except OSError:
            return b""


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace")


if __name__ == "__channelexec__":
    Agent(channel).run()  # type: ignore[name-defined]  # noqa: F821 - execnet's
