"""A shell's job control and nothing else, run by :mod:`terminals`: the leader of the terminal's session.

    python terminal_shell.py CONTROL COMMAND…

It runs one command in a process group of its own, in the foreground. On the socket CONTROL it says ``started PID``,
``stopped N``, ``continued 0``, ``ended N`` (N a signal or an exit status, negative for a signal), and is told
``fg`` and ``bg``. It changes no modes, so that what a test sees is what the command left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
import termios

_JOB_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGHUP)


def start(command: list[str], control: int) -> int:
    """The command's process, which is the terminal's foreground group before it executes anything."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(control)
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        for number in _JOB_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.execvp(command[0], command)
    finally:
        os._exit(127)


def foreground(group: int) -> None:
    with contextlib.suppress(OSError):  # the terminal hung up, or the group is gone
        os.tcsetpgrp(0, group)


def news(pid: int) -> list[str]:
    """What happened to the command since it was asked last."""
    said: list[str] = []
    while True:
        try:
            found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        except ChildProcessError:
            return said
        if not found:
            return said
        if os.WIFSTOPPED(status):
            foreground(os.getpgrp())
            said.append(f"stopped {os.WSTOPSIG(status)}")
        elif os.WIFCONTINUED(status):
            said.append("continued 0")
        else:
            foreground(os.getpgrp())
            said.append(f"ended {os.waitstatus_to_exitcode(status)}")


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in _JOB_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pid = start(sys.argv[2:], control.fileno())
    control.sendall(f"started {pid}\n".encode())
    while True:
        ready = select.select([control.fileno(), reader], [], [])[0]
        if reader in ready:
            os.read(reader, 512)
            for word in news(pid):
                control.sendall(f"{word}\n".encode())
        if control.fileno() in ready:
            told = control.recv(64).decode().split()
            if not told:
                return
            if told[-1] == "fg":
                foreground(pid)
            os.killpg(pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
