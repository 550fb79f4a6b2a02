"""What the collection leaves in the system, so that forks share it: listening sockets and shared memory."""

from __future__ import annotations

import ctypes
import os

import pytest

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
NOTICE = "hotreload: the collection left {}, which forks share, so test files run one at a time"

#: A server that a conftest binds, whose thread a session fixture starts; it notes the paths that were asked for.
SERVER = """\
    import threading, urllib.request
    from http.server import BaseHTTPRequestHandler, HTTPServer
    import pytest

    ASKED = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            ASKED.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_): pass

    SERVER = HTTPServer(("127.0.0.1", 0), Handler)

    @pytest.fixture(scope="session")
    def ask():
        threading.Thread(target=SERVER.serve_forever, daemon=True).start()
        yield lambda path: urllib.request.urlopen(f"http://127.0.0.1:{SERVER.server_port}{path}", timeout=20).close()
        SERVER.shutdown()
    """
ASKS = """\
    from conftest import ASKED

    def test_it(ask):
        ASKED.clear()
        for number in range(40):
            ask(f"/{__name__}/{number}")
        assert ASKED == [f"/{__name__}/{number}" for number in range(40)]
    """
MEMORY = {
    "value": ("VALUE = multiprocessing.Value('i')", "VALUE.value"),
    "array": ("ARRAY = multiprocessing.Array('i', 1)", "ARRAY[0]"),
    "anonymous map": ("MAP = mmap.mmap(-1, 4096)", "MAP[0]"),
    "named memory": (
        "MEMORY = shared_memory.SharedMemory(create=True, size=9)\nMEMORY.unlink()",
        "MEMORY.buf[0]",
    ),
}
COUNTS = """\
    import time
    from state import *

    def test_it():
        {0} = 0
        for number in range(50):
            {0} += 1
            time.sleep(0.002)
        assert {0} == 50
    """


def same(project, files, what, slots):
    project.write(files)
    plain, ours = project.same(slots=slots)
    assert plain.outcomes == {f"test_{name}.py::test_it": PASSED for name in "abc"}
    assert [NOTICE.format(what)] * (slots > 1) == [line for line in ours.notices if "the collection" in line]


def test_a_server_that_the_collection_bound(project, slots):
    same(
        project,
        {"conftest.py": SERVER, **{f"test_{name}.py": ASKS for name in "abc"}},
        "a listening socket",
        slots,
    )


@pytest.mark.parametrize("kind", MEMORY)
def test_memory_that_the_collection_shared(project, slots, kind):
    make, value = MEMORY[kind]
    state = f"import mmap, multiprocessing\nfrom multiprocessing import shared_memory\n{make}\n"
    tests = {f"test_{name}.py": COUNTS.format(value) for name in "abc"}
    same(project, {"state.py": state, **tests}, "shared memory", slots)


def test_a_socket_of_a_test_changes_nothing(project):
    test = "import socket\n\ndef test_it():\n    with socket.create_server(('127.0.0.1', 0)): pass\n"
    project.write({f"test_{name}.py": test for name in "ab"})
    _, ours = project.same(slots=2)
    assert not [line for line in ours.notices if "one at a time" in line]


#: ``io_uring_setup`` has this number on all architectures; 120 bytes are ``struct io_uring_params``.
RING = "ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120))"


def test_a_ring_that_the_collection_set_up(project, slots):
    found = eval(RING, {"ctypes": ctypes})
    if found < 0:
        pytest.skip("the system has no io_uring, or forbids it")
    os.close(found)
    tests = {
        f"test_{name}.py": "from state import RING\n\ndef test_it():\n    assert RING > 2\n" for name in "abc"
    }
    what = "an event loop with an io_uring"
    same(project, {"state.py": f"import ctypes\nRING = {RING}\n", **tests}, what, slots)
