"""Everything that passes between the user's controller and a host: messages, and the greeting before them.

Frames are those of ``process/messages.py``. A greeting is one line of JSON, so that two versions which can't read each
other's messages can still say so. Node ids cross the border, places in ``session.items`` only as the user's
controller numbers them: a host collects for itself and may number otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Bumped with each change of a message here or in ``process/messages.py``.
VERSION = 2

#: The longest greeting, a guard against reading something else as one.
LONGEST_GREETING = 4096


class Greeting(NamedTuple):
    """What a host's pytest says first, before it loads anything of the user's.

    ``processors``: those that it may use. ``machine``: equal for hosts that share ports and files.
    """

    version: str
    protocol: int
    pytest: str
    python: str
    processors: int
    machine: str

    def line(self) -> bytes:
        return json.dumps(self._asdict()).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Greeting:
        """Raises ValueError where it is none; what it does not say is empty."""
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
    """A slot's id among all slots of all hosts, and what xdist's convention gives it."""

    worker_id: str
    workerinput: Mapping[str, Any]
    environ: Mapping[str, str]


class Begin(NamedTuple):
    """The answer to the greeting. ``crowded``: another host shares its machine. ``number``: among the hosts."""

    number: int
    workers: tuple[Worker, ...]
    crowded: bool


class HostSettings(NamedTuple):
    """One item: its place in the user's controller's items, and the how manieth of that node id it is, from 0."""

    item: int
    nodeid: str
    which: int


class RunFile(NamedTuple):
    """Run these. ``failed``: tests that failed so far. ``exclusive``: nothing else runs anywhere."""

    wanted: tuple[HostSettings, ...]
    failed: int
    exclusive: bool


class Interrupt(NamedTuple):
    """Ctrl-C: children tear down what they set up, and nothing more starts."""


class Finish(NamedTuple):
    """No file will follow: end the session."""


# ------------------------------------------------------------------- host -> controller


class Wants(NamedTuple):
    """So many more files can be given. The first says also that the collection is over."""

    files: int


class Batch(NamedTuple):
    """What belongs together: any of the messages below."""

    messages: tuple[Any, ...]


class ChildStarted(NamedTuple):
    """A child was asked for."""


class ItemMessages(NamedTuple):
    """All that is to be shown of an item, which is complete with it."""

    item: int
    messages: tuple[Any, ...]


class Late(NamedTuple):
    """Something of an item that was complete already; -1: a report of the end, shown with the last one."""

    item: int
    message: Any


class Absent(NamedTuple):
    """The host did not collect this item, or a child there did not find it."""

    item: int
    reason: str


class GivenBack(NamedTuple):
    """These shall run again when nothing else runs on any host."""

    indices: tuple[int, ...]


class ChildEnded(NamedTuple):
    """``ended``: a ``protocol.Ended``, or None where it did not end well. ``slot``: counted on the host."""

    slot: int
    ended: Any


class Noticed(NamedTuple):
    """A line for the user: now, or (``summary``) among the last lines."""

    text: str
    summary: bool


class Idle(NamedTuple):
    """After :class:`Interrupt`: no child lives any more."""


# ------------------------------------------------------------------- controller <-> broker


class Open(NamedTuple):
    """To the broker: open a gateway (execnet's specification) and give its agent this order."""

    spec: str
    order: Mapping[str, Any]


class Data(NamedTuple):
    """Bytes for a host, or from it."""

    data: bytes


class Shut(NamedTuple):
    """To the broker: close this gateway."""


class Closed(NamedTuple):
    """From the broker: a host has ended. ``status``: its pytest's, with the end of its output, where that is known."""

    why: str
    status: int | None
    tail: str
