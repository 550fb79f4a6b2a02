"""The protocol between the user's controller and a host: messages, and the greeting before them.

Frames are those of ``process/messages.py``. A greeting is one line of JSON, so that two versions which can't read each
other's messages can still report that. Messages identify tests by node ids. Indices into ``session.items`` are always
those of the user's controller, because a host collects for itself and may number its items differently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Bumped with each change of a message here or in ``process/messages.py``.
VERSION = 7

#: Bytes of the longest greeting: a limit in case the peer sends something else.
LONGEST_GREETING = 4096


class Greeting(NamedTuple):
    """The first message of a host's pytest, sent before it loads any of the user's code."""

    version: str
    protocol: int
    pytest: str
    python: str
    #: The number of processors that the host may use.
    processors: int
    #: A text that is equal for hosts that share ports and files.
    machine: str

    def line(self) -> bytes:
        return json.dumps(self._asdict()).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Greeting:
        """Parse a greeting. Missing fields get placeholders. Raises ValueError if the line is no greeting."""
        said = json.loads(line)
        if not isinstance(said, dict):
            raise ValueError("no greeting")
        texts = (str(said.get(name, "?")) for name in ("version", "pytest", "python", "machine"))
        version, pytest, python, machine = texts
        numbers = (said.get(name, 0) for name in ("protocol", "processors"))
        protocol, processors = (each if isinstance(each, int) else 0 for each in numbers)
        return cls(version, protocol, pytest, python, max(processors, 1), machine)


# ------------------------------------------------------------------- controller -> host


class Worker(NamedTuple):
    """A slot of a host, with the values that xdist's convention gives to a worker."""

    #: The id of the slot, unique among the slots of all hosts.
    worker_id: str
    workerinput: Mapping[str, Any]
    environ: Mapping[str, str]


class Begin(NamedTuple):
    """The answer to the greeting."""

    #: The number of this host among all hosts.
    number: int
    workers: tuple[Worker, ...]
    #: Whether another host runs on the same machine.
    crowded: bool


class WantedItem(NamedTuple):
    """One item that the host is to run."""

    #: The index of the item in the user's controller.
    item: int
    nodeid: str
    #: The index of the item among the items with the same node id, from 0.
    which: int


class RunFile(NamedTuple):
    """Order to run these items of one test file."""

    wanted: tuple[WantedItem, ...]
    #: The number of tests that have failed so far.
    failed: int
    #: Whether nothing else runs on any host.
    exclusive: bool


class Interrupt(NamedTuple):
    """Order after a Ctrl-C: interrupt the children, which tear down what they set up, and start no more of them."""


class Finish(NamedTuple):
    """Order to end the session, because no further test file will follow."""


# ------------------------------------------------------------------- host -> controller


class Wants(NamedTuple):
    """Request for more test files. The first request also reports that the collection is over."""

    #: The number of further files that the host can take.
    files: int


class Batch(NamedTuple):
    """Messages that must arrive together: any of the messages below."""

    messages: tuple[Any, ...]


class ChildStarted(NamedTuple):
    """The host has requested a child."""


class ItemMessages(NamedTuple):
    """All messages of an item that are to be replayed. The item is complete with them."""

    item: int
    messages: tuple[Any, ...]


class Late(NamedTuple):
    """A message of an item that was already complete, or a report from the end of the session."""

    #: The index of the item; -1 for a report from the end, which is shown with the last item.
    item: int
    message: Any


class Absent(NamedTuple):
    """The host did not collect this item, or a child there did not find it."""

    item: int
    reason: str


class GivenBack(NamedTuple):
    """The host returns these items, which have to run again while nothing else runs on any host."""

    indices: tuple[int, ...]


class ChildEnded(NamedTuple):
    """A child of the host has ended."""

    #: The index of the slot on the host.
    slot: int
    #: The child's :class:`~pytest_hotreload.process.messages.Ended`; None if the child did not end normally.
    ended: Any


class Noticed(NamedTuple):
    """A line for the user."""

    text: str
    #: Whether the line belongs to the summary at the end; otherwise it is shown now.
    summary: bool


class Idle(NamedTuple):
    """The last child has ended after an :class:`Interrupt`."""


# ------------------------------------------------------------------- controller <-> broker


class Open(NamedTuple):
    """Order to the broker: open a gateway and send this order to its agent."""

    #: The gateway in execnet's notation.
    spec: str
    order: Mapping[str, Any]


class Data(NamedTuple):
    """Bytes for a host, or from a host."""

    data: bytes


class Shut(NamedTuple):
    """Order to the broker: close this gateway."""


class Closed(NamedTuple):
    """The broker reports that a host has ended."""

    #: The reason if the gateway failed, in words; "" if the host's pytest ended.
    why: str
    #: The exit status of the host's pytest, if known.
    status: int | None
    #: The end of the output of the host's pytest, if known.
    tail: str
