"""Random trees of packages with fixtures of random scope, cost and use have the results of plain pytest.

``HOTRELOAD_SEEDS=0-99`` runs other seeds than the few of each run.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from .shared_suites import NOTE

_FIRST, _, _LAST = os.environ.get("HOTRELOAD_SEEDS", "0-3").partition("-")
SEEDS = range(int(_FIRST), int(_LAST or _FIRST) + 1)

#: A costly fixture may own something outside, which no other process may own at the same time (one slot).
FIXTURE = """
@pytest.fixture(scope="{scope}")
def {name}({uses}):
    note("{name}")
    if {costly} and os.environ.get("ALONE"):
        os.mkdir("own-{name}")
    time.sleep({costly} * 0.06)
    yield "{name}"
    close_{name}()

def close_{name}():
    note("{name}-down")
    if {costly} and os.environ.get("ALONE"):
        os.rmdir("own-{name}")
"""


class Tree:
    """A project made from a seed. ``visible``: the fixtures that a folder's files can use, by scope."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.files: dict[str, str] = {}
        self.numbers = iter(range(1000))
        session = self.fixtures("session", [], 1 + self.random.randrange(2))
        self.files["conftest.py"] = NOTE + "".join(text for _, text in session)
        self.folder("", [name for name, _ in session], depth=0)

    def fixtures(self, scope: str, visible: list[str], count: int) -> list[tuple[str, str]]:
        """New fixtures of a scope, each of which may use some of the visible ones and of each other."""
        made: list[tuple[str, str]] = []
        for _ in range(count):
            known = [*visible, *(name for name, _ in made)]
            name = f"{scope}{next(self.numbers)}"
            uses = self.some(known, 0.3)
            costly = self.random.random() < 0.6
            text = FIXTURE.format(scope=scope, name=name, uses=", ".join(uses), costly=costly)
            made.append((name, text))
        return made

    def some(self, names: list[str], part: float) -> list[str]:
        return [name for name in names if self.random.random() < part]

    def folder(self, path: str, visible: list[str], depth: int) -> None:
        for _ in range(1 + self.random.randrange(3)):
            self.file(f"{path}test_{self.random.choice('abcxyz')}{next(self.numbers)}.py", visible)
        for _ in range(self.random.randrange(3) if depth < 2 else 0):
            below = f"{path}{self.random.choice('kmp')}{next(self.numbers)}/"
            own = self.fixtures("package", visible, 1 + self.random.randrange(2))
            if self.random.random() < 0.8:
                self.files[f"{below}__init__.py"] = ""
            self.files[f"{below}conftest.py"] = NOTE + "".join(text for _, text in own)
            self.folder(below, [*visible, *(name for name, _ in own)], depth + 1)

    def file(self, path: str, visible: list[str]) -> None:
        own = self.fixtures("module", visible, self.random.randrange(2))
        known = [*visible, *(name for name, _ in own)]
        tests = []
        for number in range(1 + self.random.randrange(2)):
            used = self.some(known, 0.4)
            good = self.random.random() < 0.9
            tests.append(
                f"\ndef test_{number}({', '.join(used)}):\n"
                f"    assert [{', '.join(used)}] == {used} and {good}\n"
            )
        self.files[path] = NOTE + "".join(text for _, text in own) + "".join(tests)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_tree(suite, slots, seed):
    tree = Tree(seed)
    made = suite("", {}, **tree.files)
    made.project.run(slots=slots)
    if slots == 1:
        made.project.environ["ALONE"] = "1"
    made.words()
    plain = made.project.run("-v", slots=None)
    expected = Counter(word for word, _ in made.words())
    made.project.run("-v", "-p", "no:cacheprovider", slots=slots)
    unshared = Counter(word for word, _ in made.words())
    ours = made.project.run("-v", slots=slots)
    words = Counter(word for word, _ in made.words())
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert set(words) == set(expected)
    for word, count in words.items():
        assert expected[word] <= count <= max(unshared[word], expected[word]), word
    assert all(words[word] == words[f"{word}-down"] for word in words if not word.endswith("-down"))
