"""A real terminal for a command, with a screen that tests can read and a shell that can suspend.

    with Terminal([sys.executable, "-m", "pytest"], cwd=tmp_path, env=environ) as terminal:
        terminal.wait_for("1 passed")
        assert terminal.wait() == 0
        assert terminal.modes() == terminal.modes_before

Keys make signals as at a desk: ``press("\\x03")`` is Ctrl-C for the foreground process group. The command
runs below :mod:`terminal_shell`, so that it can be suspended and the terminal outlives it.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyte

from .processes import _ESCAPES, with_token
from .warm import TOKEN

_SHELL = str(Path(__file__).with_name("terminal_shell.py"))
#: Longest wait for what takes milliseconds on a quiet machine; as in :mod:`processes`, less is a guess.
_SECONDS = 30.0


class Terminal:
    """A command on a terminal of its own.

    ``log``: all that was written to the terminal. ``modes_before``: as they were when the command started.
    ``pid``: the command's process and process group.
    """

    def __init__(
        self,
        command: list[str],
        *,
        cwd: str | Path,
        env: Mapping[str, str],
        rows: int = 40,
        columns: int = 120,
    ) -> None:
        self.log = ""
        self.emulator = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.emulator)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._token = uuid.uuid4().hex
        self._events: list[tuple[str, int]] = []
        self._half = ""
        self._stopped = False
        self._fd, theirs = pty.openpty()
        self._set_size(rows, columns)
        self.modes_before = self.modes()
        self._control, control = socket.socketpair()
        with control:
            self._shell = subprocess.Popen(
                [sys.executable, "-I", "-S", _SHELL, str(control.fileno()), *command],
                cwd=cwd,
                env={"TERM": "xterm-256color", **env, TOKEN: self._token},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                pass_fds=[control.fileno()],
                start_new_session=True,
            )
        os.close(theirs)
        self.pid = self._wait_event("started", _SECONDS)

    # ------------------------------------------------------------------------------- a person

    def press(self, keys: str) -> None:
        """Type; ``\\x03`` is Ctrl-C, ``\\r`` Enter."""
        data = keys.encode()
        while data:
            data = data[os.write(self._fd, data) :]

    def paste(self, text: str) -> None:
        """As a terminal does: in brackets if it was asked to."""
        bracketed = self.log.rfind("\x1b[?2004h") > self.log.rfind("\x1b[?2004l")
        self.press(f"\x1b[200~{text}\x1b[201~" if bracketed else text)

    def suspend(self) -> None:
        """Ctrl-Z; it has stopped, and the shell has the terminal, when this returns."""
        self.press("\x1a")
        self.wait_stopped()

    def wait_stopped(self) -> int:
        """Wait until the command is stopped; the signal that did it."""
        self._stopped = True
        return self._wait_event("stopped", _SECONDS)

    def resume(self, *, background: bool = False) -> None:
        """What ``fg`` (or ``bg``) does."""
        self._control.sendall(b"bg\n" if background else b"fg\n")
        if self._stopped:
            self._wait_event("continued", _SECONDS)
            self._stopped = False

    def resize(self, rows: int, columns: int) -> None:
        self.emulator.resize(rows, columns)
        self._set_size(rows, columns)

    def hang_up(self) -> None:
        """Close the window: nothing can be read or asked afterwards but :meth:`wait`."""
        os.close(self._fd)
        self._fd = -1

    # ------------------------------------------------------------------------------- what is seen

    def mark(self) -> int:
        """The end of the log, for ``since``."""
        self._pump(0)
        return len(self.log)

    def text(self, since: int = 0) -> str:
        """The log without escape sequences."""
        return _ESCAPES.sub("", self.log[since:]).replace("\r\n", "\n")

    def screen(self) -> list[str]:
        """The rows as they are shown, without blanks at their ends and without empty rows below."""
        self._pump(0)
        return "\n".join(line.rstrip() for line in self.emulator.display).rstrip().split("\n")

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._fd)

    def foreground_group(self) -> int:
        return os.tcgetpgrp(self._fd)

    @property
    def shell(self) -> int:
        """The process group that has the terminal while the command is stopped or gone."""
        return self._shell.pid

    def processes(self) -> list[int]:
        """All that live of the command, whoever their parent is; without the shell."""
        return [pid for pid in with_token(self._token) if pid != self._shell.pid]

    # ------------------------------------------------------------------------------- waiting

    def wait_for(
        self, wanted: str | re.Pattern[str], *, since: int | None = None, timeout: float = _SECONDS
    ) -> str:
        """Wait until the log, from ``since`` on, has a text or matches; what matched, without escape sequences."""
        pattern = re.compile(re.escape(wanted)) if isinstance(wanted, str) else wanted
        found: list[str] = []

        def seen() -> bool:
            match = pattern.search(self.text(since or 0))
            found.extend([str(match.group())] if match else [])
            return match is not None

        self.wait_until(seen, f"{wanted!r} in the log", timeout)
        return found[0]

    def wait_for_screen(self, wanted: str | re.Pattern[str], timeout: float = _SECONDS) -> None:
        """Wait until the screen has a text or matches, its rows joined by newlines."""
        pattern = re.compile(re.escape(wanted)) if isinstance(wanted, str) else wanted
        self.wait_until(
            lambda: pattern.search("\n".join(self.screen())), f"{wanted!r} on the screen", timeout
        )

    def wait_until(self, condition: Callable[[], object], what: str, timeout: float = _SECONDS) -> None:
        """Wait until ``condition()`` holds; it is asked when something was written or happened, and each 20 ms."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not within {timeout:g} s: {what}; events {self._events}\n{self._picture()}"
                )
            self._pump(0.02)

    def wait(self, timeout: float = _SECONDS) -> int:
        """Wait for the command's end and read all that it wrote; the exit status, negative for a signal."""
        return self._wait_event("ended", timeout)

    def _wait_event(self, kind: str, timeout: float) -> int:
        """Each event is waited for once, except the end."""

        def happened() -> list[tuple[str, int]]:
            return [event for event in self._events if event[0] == kind]

        self.wait_until(happened, f"the command {kind}", timeout)
        self._pump(0)
        event = happened()[0]
        if kind != "ended":
            self._events.remove(event)
        return event[1]

    # ------------------------------------------------------------------------------- the machinery

    def _pump(self, seconds: float) -> None:
        """Read all that is there; wait for ``seconds`` if there is nothing."""
        sources = [self._control] + ([self._fd] if self._fd >= 0 else [])
        while ready := select.select(sources, [], [], seconds)[0]:
            if self._control in ready:
                data = self._control.recv(4096)
                if not data:
                    return
                *lines, self._half = (self._half + data.decode()).split("\n")
                self._events += [(kind, int(number)) for kind, number in map(str.split, lines)]
            if self._fd in ready:
                try:
                    text = self._decoder.decode(os.read(self._fd, 65536))
                except OSError:  # Linux: nobody has the other side open
                    return
                self.log += text
                self._stream.feed(text)
            seconds = 0

    def _picture(self) -> str:
        return "\n".join(f"|{line}" for line in self.screen())

    def _set_size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """End whatever is left, and the shell."""
        for pid in with_token(self._token):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._shell.wait()
        self._control.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Terminal:  # noqa: PYI034 - Self is not in 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
