"""Keys out of bytes, and a line out of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.watch.line_editor import QUIET_SECONDS, Decoder, Edit, Line, Typed, width

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
    assert decoder.take(b"q", 2.0) == [("key", "q")]


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


def typed_in(line: Line, data: str) -> Edit:
    """Type it all; what the last key did."""
    done = Edit.GOES_ON
    for typed in all_of(data.encode(), b""):
        assert done is Edit.GOES_ON
        done = line.take(typed)
    return done


LEFT, RIGHT, HOME, END = "\x1b[D", "\x1b[C", "\x1b[H", "\x1b[F"


@pytest.mark.parametrize(
    ("keys", "text", "at"),
    [
        ("abc", "abc", 3),
        ("abc\x7f", "ab", 2),
        ("\x7fa", "a", 1),
        ("one two\x17", "one ", 4),
        ("one two  \x17\x17", "", 0),
        ("one\x15two", "two", 3),
        (f"ac{LEFT}b", "abc", 2),
        (f"a{LEFT}{LEFT}b{RIGHT}{RIGHT}c", "bac", 3),
        (f"bc{HOME}a{END}d", "abcd", 4),
        (f"abc{HOME}\x1b[3~", "bc", 0),
        (f"abc{HOME}\x04", "bc", 0),
        (f"one two{LEFT}{LEFT}\x17", "one wo", 4),
        (f"one two{LEFT}{LEFT}\x15", "wo", 0),
        (f"abcd{LEFT}{LEFT}\x0b", "ab", 2),
        ("a\x01b\x05c", "bac", 3),
        ("猫é\x7f🦀", "猫🦀", 2),
        ("a\x1b[Ab\x1bOPc\td", "abcd", 4),
        ("a\x1b[200~src/pay\n card.py\n\x1b[201~b", "asrc/pay card.pyb", 17),
    ],
)
def test_editing(keys, text, at):
    line = Line()
    assert typed_in(line, keys) is Edit.GOES_ON
    assert (line.text, line.at) == (text, at)


@pytest.mark.parametrize(
    ("keys", "did"),
    [
        ("a\n", Edit.DONE),
        ("\n", Edit.DONE),
        ("a\x03", Edit.GIVEN_UP),
        ("\x04", Edit.GIVEN_UP),
        ("a\x04", Edit.GOES_ON),
        ("\x1b\x1b\x1b[A", Edit.GIVEN_UP),
    ],
)
def test_the_end_of_a_line(keys, did):
    line = Line()
    assert {line.take(typed) for typed in all_of(keys.encode())} - {Edit.GOES_ON} == {did} - {Edit.GOES_ON}


def test_a_line_begins_with_what_was_there():
    line = Line("old")
    assert typed_in(line, "er") is Edit.GOES_ON
    assert line.text == "older"


@pytest.mark.parametrize(
    ("text", "at", "columns", "shown"),
    [
        ("abc", 3, 80, ("> abc", 0)),
        ("abc", 1, 80, ("> abc", 2)),
        ("abcdefgh", 8, 8, ("> defgh", 0)),
        ("abcdefgh", 0, 8, ("> abcde", 5)),
        ("abcdefgh", 6, 8, ("> bcdef", 0)),
        ("猫猫猫", 3, 8, ("> 猫猫", 0)),
        ("猫猫", 1, 80, ("> 猫猫", 2)),
        ("abc", 3, 2, ("> c", 0)),
    ],
)
def test_what_is_shown_of_a_line(text, at, columns, shown):
    line = Line(text)
    line.at = at
    assert line.shown("> ", columns) == shown


def test_colours_in_a_prompt_take_no_room():
    assert Line("abcdefgh").shown("\x1b[1m>\x1b[0m ", 8) == ("\x1b[1m>\x1b[0m defgh", 0)


def test_width():
    assert [width(text) for text in ("a", "é", "e\u0301", "猫", "🦀", "")] == [1, 1, 1, 2, 2, 0]
