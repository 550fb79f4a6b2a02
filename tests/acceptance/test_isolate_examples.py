"""`examples/`: the web server that restarts on an edit, and the session of cells, run as in their README files."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .isolating import Running
from .processes import until

EXAMPLES = Path(__file__).parents[2] / "examples"


def environ() -> dict[str, str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    outer.pop("PYTHONDONTWRITEBYTECODE", None)
    return outer


class Server:
    """A copy of `hot_server`, running."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(EXAMPLES / "hot_server", folder, ignore=shutil.ignore_patterns("__pycache__"))
        self.package = folder / "guestbook"
        self.running = Running([sys.executable, "serve.py", "0"], folder, environ(), None)
        assert self.running.popen.stdout is not None
        self.port = int(self.running.popen.stdout.readline().rpartition(":")[2].strip("/\n"))
        self.says("serving")

    def says(self, line: str) -> None:
        assert self.running.popen.stdout is not None
        assert self.running.popen.stdout.readline() == line + "\n"

    def title(self) -> str:
        """Of a page; no request may be refused or cut off."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/")
        text = connection.getresponse().read().decode()
        connection.close()
        return text.partition("<h1>")[2].partition("</h1>")[0]

    def edit(self, title: str, more: str = "") -> None:
        pages = self.package / "pages.py"
        lines = [
            f'TITLE = "{title}"{more}' if line.startswith("TITLE") else line
            for line in pages.read_text().splitlines()
        ]
        pages.write_text("\n".join(lines) + "\n")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "copy")
    with server.running:
        yield server


def test_a_server_answers_with_what_was_saved(server):
    assert server.title() == "Guest book"
    for title in ("Guest list", "Guest what"):  # of the same size, in the same second
        server.edit(title)
        server.says("serving")
        assert server.title() == title
    server.edit("Broken", more=" +")
    server.says("not restarted: SyntaxError: invalid syntax (pages.py, line 7)")
    assert server.title() == "Guest what"
    server.edit("Mended")
    server.says("serving")
    assert server.title() == "Mended"


def test_an_edit_during_a_restart_is_not_lost_and_its_own_files_wake_nobody(server):
    """Traps of watching loops, which this example is one of."""
    held, begun = server.package / "hold", server.package / "begun"
    (server.package / "__init__.py").write_text(
        "import pathlib, time\n"
        f"while pathlib.Path({str(held)!r}).exists():\n"
        f"    pathlib.Path({str(begun)!r}).touch()\n"
        "    time.sleep(0.01)\n"
    )
    server.says("serving")
    held.touch()
    server.edit("First")
    until(begun.exists, "a restart under way")
    server.edit("Second")
    held.unlink()
    for _ in range(2):
        server.says("serving")
    # Each start wrote bytecode; the loop looks every 20 ms, and these take longer.
    assert {server.title() for _ in range(50)} == {"Second"}
    os.kill(server.running.popen.pid, signal.SIGINT)
    ran = server.running.end()
    assert (ran.status, ran.out, ran.err) == (0, "stopped\n", "")
    assert server.running.alive() == []


def test_a_session_of_cells(tmp_path):
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "notebook_session.py"],
        cwd=tmp_path,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout.splitlines(), ran.stderr, ran.returncode) == (
        [
            "6.86 spread of 4 values",
            "0 4",
            "cell 4 -11",
            "gave up",
            "[1, 2, 4, 8]",
        ],
        "",
        0,
    )
