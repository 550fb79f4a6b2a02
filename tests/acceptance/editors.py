"""Runs pytest as an editor does: with the editor's adapter, which writes its messages to a named pipe."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import Any

from .compare import Project, Result, normalise

#: The folder of our stand-in; or that of the real adapter (``python_files`` of the extension).
ADAPTER = os.environ.get("HOTRELOAD_VSCODE_ADAPTER") or str(Path(__file__).with_name("adapters"))
_HEADER = re.compile(rb"content-length: (\d+)\r\ncontent-type: application/json\r\n\r\n")


class Pipe:
    """A named pipe, and a thread that reads it, as the editor does from the start of a run to its end."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._open = os.open(path, os.O_WRONLY)  # no end of file before the run has ended
        os.set_blocking(self._reading, True)
        self._data = bytearray()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._reading, 1 << 16):
            self._data += data

    def messages(self) -> list[dict[str, Any]]:
        """All that was written, in order; a message that is cut or mixed with another one fails."""
        os.close(self._open)
        self._thread.join()
        os.close(self._reading)
        found, place, data = [], 0, bytes(self._data)
        while place < len(data):
            header = _HEADER.match(data, place)
            assert header is not None, data[place : place + 200]
            end = header.end() + int(header[1])
            found.append(json.loads(data[header.end() : end])["params"])
            place = end
        return found


def run(
    project: Project, *args: str, slots: int | None, environ: dict[str, str] | None = None
) -> tuple[Result, list[Any]]:
    """One run with VS Code's adapter: (the result, the messages that the editor receives)."""
    side = "plain" if slots is None else "forks"
    pipe = Pipe(project.top / side / "pipe")
    project.plugins = [*dict.fromkeys([*project.plugins, "vscode_pytest"])]
    project.outside = [ADAPTER]
    kept, project.environ = (
        project.environ,
        {
            **project.environ,
            **(environ or {}),
            "TEST_RUN_PIPE": str(project.top / side / "pipe"),
        },
    )
    try:
        result = project.run(*args, slots=slots)
    finally:
        project.environ = kept
        messages = pipe.messages()
    return result, json.loads(normalise(json.dumps(messages), project.root(side)))
