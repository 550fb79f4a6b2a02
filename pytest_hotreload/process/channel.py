"""The framing and the transport of messages between processes.

The two ends are forks of one process, or an interpreter that the controller started itself. They talk over an
unnamed socket pair that no other process can open; therefore pickle is safe here. A frame is a 4-byte
big-endian length and ``(index, message)``, mostly pickled; ``index`` is the item's position in the controller's
``session.items``. The sockets are those of ``_socket``, which have nothing that a test can replace, and
frames are sent by native code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pytest_hotreload._native import send_all
from pytest_hotreload.original_names import KNOWN_CHANGES
from pytest_hotreload.process.messages import (
    Asked,
    ItemFinished,
    ItemRan,
    ItemStarted,
    Message,
    Reported,
    Unreadable,
)
from pytest_hotreload.world import BUILTINS, dumps_data, loads_data, os, pickle, sockets, struct

__builtins__ = BUILTINS

_LENGTH = struct.Struct("!I")
#: The maximum for one ``recv``. 256 KiB empties a default socket buffer (208 KiB) at once.
_CHUNK = 256 * 1024
#: Largest frame, 1 GiB: a guard against reading garbage as a length.
_LARGEST = 1 << 30
#: The most descriptors in one message. The kernel's limit is 253; a slot has eight.
_MOST_DESCRIPTORS = 32
_INT = struct.calcsize("i")
_DESCRIPTORS = (sockets.SOL_SOCKET, sockets.SCM_RIGHTS)
_DESCRIPTOR_ROOM = sockets.CMSG_LEN(_MOST_DESCRIPTORS * _INT)


#: Messages that each test sends. They consist of built-in data, so their frames name no class: after the byte
#: that is their position here follows the pickled ``(index, *message)``. A pickle begins with 0x80.
_FREQUENT: tuple[Any, ...] = (ItemStarted, ItemFinished, ItemRan, Reported)
_NUMBERS = {kind: bytes([number]) for number, kind in enumerate(_FREQUENT)}


def pack(index: int, message: Any) -> bytes:
    """Return one frame. Raises pickle's exceptions if the message can't be pickled."""
    number = _NUMBERS.get(type(message))
    body = pickle.dumps((index, message), 5) if number is None else number + dumps_data((index, *message), 5)
    return _LENGTH.pack(len(body)) + body


def unpack(body: bytes) -> tuple[int, Any]:
    """Return ``(index, message)`` of a frame without its length. Raises any exception if the frame is garbage."""
    number = body[0]
    if number < len(_FREQUENT):
        fields = loads_data(body[1:])
        return fields[0], tuple.__new__(_FREQUENT[number], fields[1:])
    with KNOWN_CHANGES:  # unpickling may run Python code (dataclasses)
        index, message = pickle.loads(body)
    return index, message


class Inbox:
    """Splits a stream of bytes into messages, and keeps incomplete ones."""

    def __init__(self, *, tolerant: bool = False) -> None:
        self._data = bytearray()
        #: Whether a frame that can't be read becomes an :class:`Unreadable` message. Otherwise pickle's
        #: exception is raised.
        self.tolerant = tolerant

    def feed(self, data: bytes) -> Iterator[tuple[int, Any]]:
        """Add received bytes; yield each complete ``(index, message)``."""
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            if length > _LARGEST:
                self._data.clear()
                if not self.tolerant:
                    raise _garbage(length)
                yield -1, Unreadable(str(_garbage(length)))
                return
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            body = bytes(self._data[_LENGTH.size : end])
            del self._data[:end]
            yield self._message(body)

    def _message(self, body: bytes) -> tuple[int, Any]:
        try:
            return unpack(body)
        except Exception as error:  # unpickling garbage may raise anything
            if not self.tolerant:
                raise
            return -1, Unreadable(f"{type(error).__name__}: {error}")


class Channel:
    """One end of a socket pair, with blocking sends; frames are buffered until :meth:`flush`."""

    def __init__(self, end: sockets.socket) -> None:
        self.socket = end
        self.pid = os.getpid()
        self._out: list[bytes] = []
        self._inbox = Inbox()
        self._read: list[tuple[int, Any]] = []
        #: Frames that were queued, whether they could be sent or not; questions that were begun.
        self.sent = self.questions = 0
        #: Whether each message must be shown at the other end before this process continues (one child at a
        #: time).
        self.acknowledged = False
        #: Received descriptors, in order, or None if none are expected.
        self.descriptors: list[int] | None = None
        self.before_send: Callable[[], None] = lambda: None

    def fileno(self) -> int:
        return self.socket.fileno()

    def is_copied(self) -> bool:
        """Whether this process is a fork that a test made of the one that has this end."""
        return os.getpid() != self.pid

    def put(self, index: int, message: Message) -> None:
        """Queue a frame. In a fork that a test made of this process, nothing is sent."""
        self.sent += 1
        if self.is_copied():
            return
        self._out.append(pack(index, message))
        if self.acknowledged:
            self.ask(index, "shown")

    def drop_queued(self, count: int) -> bool:
        """Drop the last ``count`` frames, if none of them was sent; returns whether that was so."""
        if len(self._out) < count:
            return False
        del self._out[len(self._out) - count :]
        return True

    def in_the_end(self) -> int:
        """Return the number of sent frames including the last message, which a question may follow."""
        return self.sent + 1 + self.acknowledged

    def flush(self) -> None:
        """Send all queued frames. Raises OSError if the other end is gone."""
        if not self._out or self.is_copied():
            return
        frames = len(self._out)  # another thread may add one meanwhile
        data = b"".join(self._out[:frames])
        del self._out[:frames]
        send_all(self.socket.fileno(), data)

    def ask(self, index: int, what: str) -> Any:
        """Send a question and wait for its answer. Raises EOFError if the other end is gone.

        Answers to questions that an interrupt cut short are skipped.
        """
        self.questions += 1
        number = self.questions
        self.before_send()
        self.sent += 1
        self._out.append(pack(index, Asked(number, what)))
        self.flush()
        while True:
            _, answer = self.receive()
            if answer.number == number:
                return answer.value

    def receive(self) -> tuple[int, Any]:
        """Wait for the next frame. Raises EOFError if the other end is gone."""
        while not self._read:
            data = self._receive(0)
            if not data:
                raise EOFError("the other end of the channel is closed")
            self._read.extend(self._inbox.feed(data))
        return self._read.pop(0)

    def _receive(self, flags: int) -> bytes:
        if self.descriptors is None:
            return self.socket.recv(_CHUNK, flags)
        data, ancillary, _, _ = self.socket.recvmsg(_CHUNK, _DESCRIPTOR_ROOM, flags)
        for level, kind, content in ancillary:
            if (level, kind) == _DESCRIPTORS:
                self.descriptors += struct.unpack(f"{len(content) // _INT}i", content)
        return data

    def drain(self) -> tuple[list[tuple[int, Any]], bool]:
        """Return all frames that can be read without waiting, and whether the other end is closed."""
        frames = list(self._read)
        self._read.clear()
        while True:
            try:
                data = self._receive(sockets.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                return frames, False
            except OSError:
                return frames, True
            if not data:
                return frames, True
            frames.extend(self._inbox.feed(data))
            if len(data) < _CHUNK:
                return frames, False

    def renew(self) -> None:
        """Discard an incomplete frame that the other end left when it died."""
        self._inbox = Inbox(tolerant=self._inbox.tolerant)
        self._read.clear()

    def tolerate(self) -> None:
        """Accept frames that can't be read (see :class:`Inbox`): a test may have broken the sender at the other end."""
        self._inbox.tolerant = True

    def send(self, index: int, message: Any) -> None:
        """Send one frame now."""
        send_all(self.socket.fileno(), pack(index, message))

    def send_with(self, message: Any, descriptors: Sequence[int]) -> None:
        """Send one frame together with open files."""
        data = pack(-1, message)
        sent = self.socket.sendmsg(
            [data], [(*_DESCRIPTORS, struct.pack(f"{len(descriptors)}i", *descriptors))]
        )
        if sent < len(data):  # an empty send would fail if the other end has read all and left
            send_all(self.socket.fileno(), data[sent:])

    @property
    def closed(self) -> bool:
        """Whether this end was closed here."""
        return self.socket.fileno() < 0

    def close(self) -> None:
        self.socket.close()


def pair() -> tuple[Channel, Channel]:
    """Return a connected pair of channels; neither end is inherited across an exec."""
    ours, theirs = sockets.socketpair()
    return Channel(ours), Channel(theirs)


def _garbage(length: int) -> Exception:
    from pytest_hotreload.errors import ProtocolError

    return ProtocolError(
        f"a message of {length} bytes, more than {_LARGEST}",
        hint="report this as a bug, with the list of installed plugins",
    )
