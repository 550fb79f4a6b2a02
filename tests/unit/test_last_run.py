"""The time and revision of a file's last run: reading git's files, and the stored data."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.records import messages
from pytest_hotreload.records.last_run import Last, load, merged, name_of, revision, save

LASTS = st.builds(Last, st.integers(0, 9), st.sampled_from(["", "a", "b"]))
KNOWN_CHANGES = st.dictionaries(st.sampled_from("xyz"), LASTS)


@given(KNOWN_CHANGES, KNOWN_CHANGES, KNOWN_CHANGES)
def test_the_order_of_merging_does_not_matter(one, two, three):
    results = [merged(*order) for order in itertools.permutations((one, two, three))]
    assert all(result == results[0] for result in results)
    assert merged(merged(one, two), three) == results[0] == merged(results[0], one)


def test_what_is_saved_is_loaded(tmp_path):
    assert load(tmp_path) == {}
    save(tmp_path, {"a.py": Last(5, "abc"), "b.py": Last(5, "")}, keep=[])
    save(tmp_path, {"a.py": Last(7, "def")}, keep=["a.py", "b.py"])
    assert load(tmp_path) == {"a.py": Last(7, "def"), "b.py": Last(5, "")}
    save(tmp_path, {"c.py": Last(8, "")}, keep=["a.py"])
    assert load(tmp_path) == {"a.py": Last(7, "def"), "c.py": Last(8, "")}
    assert [path.name for path in tmp_path.iterdir()] == ["ran-1.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": ["x", "y"]}', '{"a": [1]}', "\xff"])
def test_what_is_wrong_says_nothing(tmp_path, text):
    (tmp_path / "ran-1.json").write_text(text, encoding="latin-1")
    assert load(tmp_path) == {}


def test_names(tmp_path):
    assert name_of(f"{tmp_path}/tests/test_a.py", tmp_path) == "tests/test_a.py"
    assert name_of("/elsewhere/test_a.py", tmp_path) == "/elsewhere/test_a.py"


# ----------------------------------------------------------------------------------- revisions


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q")
    assert revision(folder) == ""  # nothing is committed
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return folder


def head(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD")[:7]


def test_without_git(tmp_path):
    assert revision(tmp_path) == ""
    for content in ("", "gitdir: nowhere", "\0"):
        (tmp_path / ".git").write_text(content)
        assert revision(tmp_path) == ""


def test_a_branch_below_and_packed(clone):
    below = clone / "a/b"
    below.mkdir(parents=True)
    assert revision(below) == head(clone)
    git(clone, "checkout", "-q", "-b", "feature/x")
    git(clone, "commit", "-q", "--allow-empty", "-m", "two")
    git(clone, "pack-refs", "--all")
    assert revision(clone) == head(clone)
    git(clone, "commit", "-q", "--allow-empty", "-m", "three")  # a loose one counts before the packed one
    assert revision(clone) == head(clone)
    git(clone, "checkout", "-q", "--detach", "HEAD~1")
    assert revision(clone) == head(clone)


def test_a_worktree(clone, tmp_path):
    git(clone, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    git(tmp_path / "tree", "commit", "-q", "--allow-empty", "-m", "there")
    assert revision(tmp_path / "tree") == head(tmp_path / "tree") != head(clone)
    git(clone, "pack-refs", "--all")
    assert revision(tmp_path / "tree") == head(tmp_path / "tree")


# --------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
    ],
)
def test_ages(seconds, shown):
    assert messages.age(seconds) == shown


@pytest.mark.parametrize(
    ("lasts", "shown"),
    [
        ([Last(7_200, "abc")], "ran 1 h ago at abc"),
        ([Last(7_200, "")], "ran 1 h ago"),
        ([Last(7_200, "abc"), Last(7_260, "abc")], "ran 1 h to 59 min ago at abc"),
        ([Last(0, "abc"), Last(7_200, "def"), Last(1, "")], "ran 3 h to 1 h ago at def and 1 more revision"),
        ([Last(0, "a"), Last(1, "b"), Last(2, "c")], "ran 3 h ago at c and 2 more revisions"),
    ],
)
def test_when_they_ran(lasts, shown):
    assert messages.ran(lasts, 10_802) == shown
