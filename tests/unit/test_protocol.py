"""Frames: the messages are the same for every way in which the stream is divided."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.errors import ProtocolError
from pytest_hotreload.process import progress
from pytest_hotreload.process.channel import Inbox, pack, pair
from pytest_hotreload.process.fork_messages import Answer
from pytest_hotreload.process.messages import ItemFinished, ItemRan, ItemStarted, Logged, Printed, Reported
from pytest_hotreload.process.progress import Progress
from pytest_hotreload.process.slots import Slot

MESSAGES = st.one_of(
    st.builds(Reported, st.binary(max_size=300), st.integers(0, 9)),
    st.builds(ItemStarted),
    st.builds(ItemFinished),
    st.builds(ItemRan, st.integers(0, 9), st.booleans()),
    st.builds(Printed, st.sampled_from([1, 2]), st.binary(max_size=300)),
    st.builds(Logged, st.text(max_size=50)),
)
FRAMES = st.lists(st.tuples(st.integers(-1, 1 << 20), MESSAGES), max_size=6)


@given(FRAMES, st.data())
def test_any_split_of_a_stream_gives_the_same_frames(frames, data):
    stream = b"".join(pack(index, message) for index, message in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    inbox = Inbox()
    read: list[tuple[int, object]] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += inbox.feed(stream[begin:end])
    assert read == frames
    assert [type(message) for _, message in read] == [type(message) for _, message in frames]


@given(FRAMES, st.integers(1, 400))
def test_a_cut_off_frame_is_kept_back(frames, short):
    stream = b"".join(pack(index, message) for index, message in frames)
    last = pack(0, Logged("x" * 500))
    inbox = Inbox()
    assert list(inbox.feed(stream + last[:short])) == frames
    assert list(inbox.feed(last[short:])) == [(0, Logged("x" * 500))]


def test_garbage_is_an_error_and_no_wait():
    with pytest.raises(ProtocolError, match="more than"):
        list(Inbox().feed(b"\xff" * 8))


def test_a_channel_forgets_what_was_cut_off():
    ours, theirs = pair()
    try:
        theirs.socket.sendall(pack(1, Logged("whole")) + pack(2, Logged("cut"))[:-1])
        assert ours.drain() == ([(1, Logged("whole"))], False)
        ours.renew()
        theirs.send(3, Logged("next"))
        assert ours.drain() == ([(3, Logged("next"))], False)
        theirs.close()
        assert ours.drain() == ([], True)
        with pytest.raises(EOFError):
            ours.receive()
    finally:
        ours.close()


@given(st.integers(0, 3), st.integers(0, 3))
def test_an_answer_belongs_to_its_question(answered, late):
    """Questions that an interrupt cut short: their answers were sent, or come late, and are nobody else's."""
    ours, theirs = pair()
    try:
        given = []
        for _ in range(answered + late):
            theirs.before_send = _interrupted
            with pytest.raises(KeyboardInterrupt):
                theirs.ask(0, "files")
            given.append(theirs.questions)
        theirs.before_send = lambda: None
        for number in [*given, given[-1] + 1 if given else 1]:
            ours.send(-1, Answer(number, number))
        assert theirs.ask(0, "basetemp") == (given[-1] + 1 if given else 1)
    finally:
        ours.close()
        theirs.close()


def test_a_slot_has_no_answer_left_for_its_next_child():
    slot = Slot(0, alone=False)
    try:
        slot.channel.send(-1, Answer(1, "for the last child"))
        slot.channel.send(-1, Answer(2, "x" * 100_000))
        slot.reset()
        slot.channel.send(-1, Answer(1, "for this one"))
        assert slot.child_end.receive() == (-1, Answer(1, "for this one"))
    finally:
        slot.close()


def _interrupted() -> None:
    """Where a Ctrl-C that comes while the answer is waited for arrives, for its number has been given."""
    raise KeyboardInterrupt


@given(st.integers(-1, 1 << 30), st.integers(0, len(Progress.PHASES) - 1), st.floats(0, 1e9))
def test_progress_is_read_original_names_written(index, phase, at):
    descriptor = _anonymous_file()
    try:
        page = progress.Progress(descriptor)
        page.write(index, phase, at)
        assert page.read() == (index, Progress.PHASES[phase], at)
        page.clear()
        assert page.read() == (-1, "start", 0.0)
        page.close()
    finally:
        os.close(descriptor)


def _anonymous_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
