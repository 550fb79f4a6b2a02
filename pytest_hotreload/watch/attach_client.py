"""The clients of attached runs: their connections, and whether a template suits their requests."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_hotreload.process.channel import Channel
from pytest_hotreload.watch import attach_messages
from pytest_hotreload.watch.attach_protocol import Attach
from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.standby.attached_run import NEUTRAL
from pytest_hotreload_client import meeting

#: Prefixes of variables that an interpreter or its libraries read once, in a way that is not recorded.
_READ_ONCE = (
    "PYTHON", "LD_", "DYLD_", "LC_", "MALLOC_", "GLIBC_",  # the interpreter, its loader and its C library
    "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "CUDA_",  # numeric libraries
    "COVERAGE_PROCESS_", "COV_CORE_",  # a .pth file of coverage, which runs before our code
)  # fmt: skip
_READ_ONCE_NAMES = ("LANG", "LANGUAGE")


@dataclass(eq=False)
class ClientConnection:
    """One connection to a client, with its run."""

    connection: socket.socket
    #: Received bytes that are not handled yet.
    heard: bytes = b""
    #: The client's stdin, stdout and stderr, until the run has them.
    descriptors: list[int] = field(default_factory=list)
    request: meeting.Request | None = None
    #: The token of the run; 0 before the run is requested.
    token: int = 0
    #: The template from which the run is forked.
    template: Process | None = None
    #: What the run was told to become.
    order: Attach | None = None
    #: The prepared process of which the run is a fork, if it is none of the template itself.
    point: Process | None = None
    #: The process id of the run; 0 as long as it is unknown, and after its end.
    pid: int = 0
    #: The channel to the run.
    channel: Channel | None = None
    #: Signals that arrived before the run had a process.
    untold: list[int] = field(default_factory=list)
    #: Whether the client is gone while its run goes on.
    dead: bool = False
    #: The time at which the run is killed, in monotonic seconds; 0 for none.
    deadline: float = 0.0

    def say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the end of the connection is read next
            self.connection.send(os.fsencode(line + "\n"))

    def drop_descriptors(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()


def unsuitable(request: meeting.Request, root: str) -> str:
    """The reason, apart from environment variables, for which the template does not suit the client; or ""."""
    if request.version != meeting.VERSION:
        return attach_messages.OTHER_RELEASE
    if request.prefix != meeting.prefix():
        return attach_messages.other_interpreter(meeting.prefix())
    if request.interpreter != meeting.interpreter():
        return attach_messages.OTHER_FLAGS
    if request.root != root or len(request.folder) == 0:
        return attach_messages.OTHER_PROJECT
    return ""


def difference(theirs: Mapping[str, str], ours: Mapping[str, str], asked: frozenset[str]) -> str:
    """The first relevant variable whose values differ between the client and the template, or "".

    ``asked``: the variables that modules have read during their import in the template.
    """
    for name in sorted({*theirs, *ours}):
        if theirs.get(name) == ours.get(name) or name in NEUTRAL:
            continue
        if name in asked or name in _READ_ONCE_NAMES or name.startswith(_READ_ONCE):
            return name
    return ""
