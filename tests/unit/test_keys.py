"""Decodes bytes to keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.watch.key_decoder import QUIET_SECONDS, Decoder, Typed

#: What a keyboard sends, and what it means.
WHOLE = {
    b"a": ("key", "a"),
    b"P": ("key", "P"),
    b"\n": ("key", "\n"),
    b"\x04": ("key", "\x04"),
    b"\x7f": ("key", "\x7f"),
    "é".encode(): ("key", "é"),
    "猫".encode(): ("key", "猫"),
    "🦀".encode(): ("key", "🦀"),
    b"\x1b[A": ("sequence", "\x1b[A"),
    b"\x1b[1;5C": ("sequence", "\x1b[1;5C"),
    b"\x1b[15~": ("sequence", "\x1b[15~"),
    b"\x1b[[A": ("sequence", "\x1b[[A"),
    b"\x1bOP": ("sequence", "\x1bOP"),
    b"\x1bq": ("sequence", "\x1bq"),
    b"\x1b[<0;10;20M": ("sequence", "\x1b[<0;10;20M"),
    b"\x1b]11;rgb:0000/0000/0000\x1b\\": ("sequence", "\x1b]11;rgb:0000/0000/0000\x1b\\"),
    b"\x1b]0;q\x07": ("sequence", "\x1b]0;q\x07"),
    b"\x1b[200~quit\nPq\x1b[A\x1b[201~": ("paste", "quit\nPq\x1b[A"),
    b"\x1b[200~\x1b[201~": ("paste", ""),
}


def all_of(*pieces: bytes) -> list[Typed]:
    """All pieces come at once, as far as a clock can tell."""
    decoder = Decoder()
    return [typed for piece in pieces for typed in decoder.take(piece, 1.0)]


@pytest.mark.parametrize(("data", "meant"), WHOLE.items(), ids=[repr(data) for data in WHOLE])
def test_each_is_one(data, meant):
    assert all_of(data, b"z") == [meant, ("key", "z")]


@given(st.lists(st.sampled_from(list(WHOLE)), min_size=1), st.data())
def test_pieces_of_any_size(parts, data):
    whole = b"".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=8).map(sorted))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert all_of(*pieces) == [WHOLE[part] for part in parts]


@given(st.lists(st.binary(max_size=20)))
def test_any_bytes_at_all(pieces):
    """Whatever came, a key after some quiet is a key, unless a paste has not ended."""
    decoder = Decoder()
    for piece in pieces:
        decoder.take(piece, 1.0)
    assert decoder.take(b"\nq", 10.0)[-2:] == [("key", "\n"), ("key", "q")]


def test_carriage_return_is_enter():
    assert all_of(b"\r") == [("key", "\n")]


def test_escape_by_itself_is_a_key_after_a_while():
    decoder = Decoder()
    assert decoder.take(b"\x1b", 1.0) == []
    assert decoder.waits
    assert decoder.take(b"", 1.0 + QUIET_SECONDS / 2) == []
    assert decoder.take(b"", 1.0 + QUIET_SECONDS) == [("key", "\x1b")]
    assert not decoder.waits
    # mypy takes the property for unchanged since it was asserted.
    assert decoder.take(b"q", 2.0) == [("key", "q")]  # type: ignore[unreachable]


def test_escape_and_later_another_key():
    decoder = Decoder()
    assert decoder.take(b"\x1b", 1.0) == []
    assert decoder.take(b"q", 2.0) == [("key", "\x1b"), ("key", "q")]


def test_escape_twice():
    assert all_of(b"\x1b\x1b[A") == [("key", "\x1b"), ("sequence", "\x1b[A")]


@pytest.mark.parametrize("begun", [b"\x1b[", b"\x1b[1;", b"\x1bO", b"\x1b]0;q", b"\x1bP", b"\x1b[["])
def test_what_never_ends_is_dropped(begun):
    decoder = Decoder()
    assert decoder.take(begun, 1.0) == []
    assert decoder.take(b"q", 2.0) == [("key", "q")]


def test_a_paste_may_take_its_time():
    decoder = Decoder()
    assert decoder.take(b"\x1b[200~some", 1.0) == []
    assert decoder.take(b"\nwhere", 2.5) == []
    assert decoder.take(b"\x1b[201~q", 4.0) == [("paste", "some\nwhere"), ("key", "q")]


def test_a_paste_whose_end_is_lost():
    decoder = Decoder()
    assert decoder.take(b"\x1b[200~some", 1.0) == []
    assert decoder.take(b"q", 3.0) == [("key", "q")]
