"""The inputs of prepared processes: what counts as a change, and what is too young to be told from one."""

from __future__ import annotations

import os
import time

import pytest

from pytest_hotreload.watch.asked_files import answer
from pytest_hotreload.watch.input_states import InputStates
from pytest_hotreload.watch.protocol import FileQuestion, Inputs

#: Nanoseconds after which a change is settled, with a margin.
_LATER = 50_000_000


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "read.py").write_text("one")
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed/a").write_text("")
    return tmp_path


def states(folder, since_ns=None):
    files = frozenset({str(folder / "read.py"), str(folder / "missing.txt")})
    inputs = Inputs(files, frozenset({str(folder / "listed")}))
    return InputStates(inputs, [str(folder)], time.time_ns() + _LATER if since_ns is None else since_ns)


def test_nothing_changes(folder):
    found = states(folder)
    assert (found.unsettled, found.changed()) == ("", [])


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda folder: (folder / "read.py").write_text("two"), ["read.py"]),
        (lambda folder: (folder / "read.py").unlink(), ["read.py", ""]),
        (lambda folder: (folder / "missing.txt").write_text(""), ["missing.txt", ""]),
        (lambda folder: (folder / "listed/b").write_text(""), ["listed"]),
        (lambda folder: (folder / "any.txt").write_text(""), [""]),
        (lambda folder: (folder / "listed/a").write_text("content"), []),
        (lambda folder: (folder / "__pycache__").mkdir(), []),
        (lambda folder: (folder / ".pytest_cache").mkdir(), []),
    ],
)
def test_a_change(folder, change, names):
    found = states(folder)
    change(folder)
    assert sorted(found.changed()) == sorted(str(folder / name) for name in names)


def test_the_same_content(folder):
    found = states(folder)
    for _ in range(3):
        (folder / "read.py").write_text("one")
        assert found.changed() == []
    (folder / "read.py").write_text("two")
    assert found.changed() == [str(folder / "read.py")]


def test_a_change_that_restores_time_and_size(folder):
    file = folder / "read.py"
    found, before = states(folder), file.stat()
    time.sleep(0.02)  # longer than a step of the clock of file times
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found.changed() == [str(file)]


def test_an_input_that_is_too_young(folder):
    """It may have been read before its last change."""
    assert states(folder, time.time_ns()).unsettled in (
        str(folder / "read.py"),
        str(folder / "listed"),
        str(folder),
    )


@pytest.fixture
def linked(folder):
    """A link that was read, and one on the way to a file and to a folder."""
    for name in ("old", "new"):
        (folder / name / "sub").mkdir(parents=True)
        (folder / name / "file.py").write_text("same")
        os.utime(folder / name / "file.py", ns=(0, 0))
        os.utime(folder / name / "sub", ns=(0, 0))
    (folder / "way").symlink_to("old")
    (folder / "link").symlink_to("old/file.py")
    return folder


def of_links(folder, since_ns):
    read = frozenset({str(folder / "way/file.py")})
    listed = frozenset({str(folder / "link"), str(folder / "way/sub")})
    return InputStates(Inputs(read, listed), [], since_ns)


@pytest.mark.parametrize("name", ["way", "link"])
def test_a_link_that_leads_elsewhere(linked, name):
    """To the same names, times and content."""
    found = of_links(linked, time.time_ns() + _LATER)
    assert (found.unsettled, found.changed()) == ("", [])
    (linked / name).unlink()
    (linked / name).symlink_to("new" if name == "way" else "new/file.py")
    assert str(linked / name) in found.changed()


@pytest.mark.parametrize("name", ["way", "link"])
def test_a_link_that_led_elsewhere_a_moment_ago(linked, name):
    time.sleep(_LATER / 1e9)
    begun = time.time_ns()
    (linked / name).unlink()
    (linked / name).symlink_to("new" if name == "way" else "new/file.py")
    assert of_links(linked, begun).unsettled


# ------------------------------------------------------------------------------------- what was asked


@pytest.mark.parametrize(
    ("question", "change", "is_another"),
    [
        ("kind", lambda file: file.write_text("two"), False),
        ("kind", lambda file: file.unlink(), True),
        ("kind", lambda file: (file.unlink(), file.symlink_to("../read.py")), False),
        ("kind of link", lambda file: (file.unlink(), file.symlink_to("../read.py")), True),
        ("state", lambda file: file.write_text("two"), True),
        ("state", lambda file: file.chmod(0o600), True),
        ("state of link", lambda file: os.utime(file, ns=(1, 1)), True),
        ("source", lambda file: file.write_text("two"), True),
        ("source", lambda file: (file.parent / "link").hardlink_to(file), False),
        (f"access {os.X_OK}", lambda file: file.write_text("two"), False),
        (f"access {os.X_OK}", lambda file: file.chmod(0o755), True),
    ],
)
def test_another_answer(folder, question, change, is_another):
    (folder / "apart").mkdir()
    file = folder / "apart/file"
    file.write_text("one")
    asked = FileQuestion(str(file), question, answer(str(file), question))
    found = InputStates(Inputs(asked=frozenset({asked})), [], time.time_ns() + _LATER)
    assert (found.unsettled, found.changed()) == ("", [])
    change(file)
    assert found.changed() == ([str(file)] if is_another else [])


def test_a_state_that_is_too_young(folder):
    file = str(folder / "read.py")
    for question, young in (("state", file), ("kind", "")):
        asked = FileQuestion(file, question, answer(file, question))
        assert InputStates(Inputs(asked=frozenset({asked})), [], time.time_ns()).unsettled == young
