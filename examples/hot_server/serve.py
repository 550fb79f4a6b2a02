"""Serve `guestbook`, and answer with new code as soon as a file is saved: python serve.py [PORT]

What the application imports of others is imported once, in the environment's template. Each edit forks a new server
from it, which takes the listening socket over; then the old one is stopped. No request finds the door closed
meanwhile. If the new code does not start, its error is shown and the old server stays.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from guestbook import app

from pytest_hotreload import IsolatedEnvironment, IsolatedProcess, isolate_imports

SOURCES = Path(app.__file__).parent
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 2.0


def saved() -> dict[Path, tuple[int, int]]:
    """Sources alone: what the server itself writes (bytecode, databases, logs) must not wake us."""
    found = {}
    for path in SOURCES.rglob("*.py"):
        try:
            state = path.stat()
        except FileNotFoundError:  # an editor replaces it at this moment
            continue
        found[path] = (state.st_mtime_ns, state.st_size)
    return found


def start(
    environment: IsolatedEnvironment, listener: socket.socket, door: socket.socket
) -> IsolatedProcess | None:
    """A new server that has taken the socket over, or None after showing why there is none."""
    server = environment.exec(app.serve, door.getsockname())
    while not server.done:
        try:
            line, _ = door.accept()
        except TimeoutError:
            continue
        with line:
            socket.send_fds(line, [b"."], [listener.fileno()])
        return server
    try:
        server.result()
    except Exception as error:
        print(f"not restarted: {type(error).__name__}: {error}", flush=True)
    return None


def stop(environment: IsolatedEnvironment, server: IsolatedProcess) -> None:
    """It finishes what it is at; not for ever."""
    if not server.done:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGTERM)
    if not server.wait(PATIENCE_SECONDS):
        environment.stop_isolated(server)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with (
        tempfile.TemporaryDirectory() as private,
        socket.create_server(("127.0.0.1", port)) as listener,
        socket.socket(socket.AF_UNIX) as door,
        isolate_imports("guestbook", output="inherit") as environment,
    ):
        door.bind(str(Path(private, "door")))
        door.listen()
        door.settimeout(POLL_SECONDS)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
        server, served = None, None
        while True:
            now = saved()  # before the start: what is saved during it is seen the next time
            if now != served:
                served = now
                environment.update_environment()  # a new third-party import gets a new template
                new = start(environment, listener, door)
                if new is not None:
                    if server is not None:
                        stop(environment, server)
                    server = new
                    print("serving", flush=True)
            time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
