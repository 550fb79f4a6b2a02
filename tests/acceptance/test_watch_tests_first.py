"""Tests first: the tests that ran a changed function run before the rest of their files, whose result counts."""

from __future__ import annotations

import sys
from json import loads
from pathlib import Path

import pytest

from pytest_hotreload._native import RecordStore

from .processes import until
from .watching import Shown, Watching

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on"
)

PRICING = """\
RATE = 1

def gross(n):
    return n + RATE

def net(n):
    return n
"""
#: The slow tests make it worth it to run the others first.
SLOW = """\
def test_slow():
    with open(".pytest_cache/began", "a") as began:
        began.write("x")
    time.sleep(0.4)
    assert pricing.net(1) == 1
"""
FILES = {
    "pricing.py": PRICING,
    "test_cart.py": f"import time, pricing\n\ndef test_cart():\n    assert pricing.gross(1) == 2\n\n{SLOW}",
    "test_shop.py": f"import time, pricing\n\ndef test_shop():\n    assert pricing.gross(2) == 3\n\n{SLOW}",
    "test_other.py": "def test_other(): pass\n",
}
CART, SHOP = "test_cart.py::test_cart", "test_shop.py::test_shop"
WHOLE = [CART, "test_cart.py::test_slow", SHOP, "test_shop.py::test_slow"]


class Pair(Watching):
    """A watch whose edits have two answers."""

    #: The contents that the records named when the watch had last settled.
    _contents: list[list[list[str]]] | None = None

    def first(self) -> Shown:
        """The answer of the affected tests."""
        return self.shown(lambda line: line.endswith((" follow", " follows")))

    def rest_begins(self) -> None:
        """Wait until a slow test runs again; only the second rerun runs any."""
        began = self.path(".pytest_cache/began")
        known = began.stat().st_size
        until(lambda: began.stat().st_size > known, "the rest")

    def settled(self) -> None:
        """Wait until the last rerun has saved its records: an edit before that would be in them."""
        before = self._contents

        def is_saved() -> bool:
            folder = self.path(".pytest_cache/d/hotreload")
            saved = [path.stat().st_mtime_ns for path in folder.glob("*/index")]
            records = list(folder.rglob("test_*.json"))
            if not saved or saved[0] < max(path.stat().st_mtime_ns for path in records):
                return False
            found = [loads(path.read_text().splitlines()[1]) for path in sorted(records)]
            contents = [record["closure"] for record in found]
            states = {tuple(pair) for closure in contents for pair in closure}
            if not all(record["settled"] for record in found) or contents == before:
                return False
            if len(states) != len({name for name, _ in states}):
                return False
            self._contents = contents
            return True

        until(is_saved, "the records")


def of(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def test_the_affected_tests_run_first_and_then_their_files(tmp_path: Path) -> None:
    with Pair(tmp_path, FILES) as watching:
        assert watching.shown().status == "PASS 5 passed"
        for number in range(1, 4):
            watching.settled()
            watching.write({"pricing.py": of(PRICING, "n + RATE", f"n + RATE + {number} - {number}")})
            first = watching.first()
            assert first.rerun == "RERUN pricing.py: gross() → 2 tests"
            assert first.ran == {CART: "passed", SHOP: "passed"}
            assert first.status == "PASS 2 passed · 2 more of 2 files follow"
            rest = watching.shown()
            assert rest.rerun == ""
            assert rest.ran == dict.fromkeys(WHOLE, "passed")
            assert rest.status == "PASS 4 passed"
        assert watching.end() == 0


def test_an_edited_test_runs_first(tmp_path: Path) -> None:
    with Pair(tmp_path, FILES) as watching:
        watching.shown()
        watching.settled()
        watching.write({"test_cart.py": of(FILES["test_cart.py"], "== 2", "== 1 + 1")})
        first = watching.first()
        assert first.rerun == "RERUN test_cart.py: test_cart() → 1 test"
        assert first.ran == {CART: "passed"}
        assert first.status == "PASS 1 passed · 1 more of 1 file follows"
        rest = watching.shown()
        assert rest.ran == {CART: "passed", "test_cart.py::test_slow": "passed"}
        assert rest.status == "PASS 2 passed"


def test_a_failure_is_shown_from_its_file_and_before_the_others(tmp_path: Path) -> None:
    with Pair(tmp_path, FILES) as watching:
        watching.shown()
        watching.settled()
        watching.write({"pricing.py": of(PRICING, "n + RATE", "n + 1 if n == 1 else 7")})
        failed = watching.first()
        assert failed.rerun == "RERUN pricing.py: gross() → 2 tests"
        assert failed.ran == {SHOP: "failed", "test_shop.py::test_slow": "passed"}
        assert failed.text.count("test session starts") == 1
        assert failed.status == "FAIL 1 failed, 1 passed · 1 file follows"
        rest = watching.shown()
        assert rest.ran == {CART: "passed", "test_cart.py::test_slow": "passed"}
        assert rest.status == f"FAIL 2 passed · still failing: {SHOP}"
        watching.settled()
        watching.write({"pricing.py": PRICING})
        assert watching.shown().status == "PASS 4 passed"
        assert watching.end() == 0


#: A test that passes behind the first test of its file only, and one that passes alone only.
LEANING = """\
import time, pricing

HELD = []

def test_slow():
    time.sleep(0.5)
    HELD.append(1)

def test_held():
    assert pricing.gross(1) >= 1
    assert HELD == {0}
"""


def test_a_failure_of_a_test_alone_is_not_shown(tmp_path: Path) -> None:
    with Pair(tmp_path, {**FILES, "test_held.py": LEANING.format("[1]")}) as watching:
        assert watching.shown().status == "PASS 7 passed"
        watching.settled()
        watching.write({"pricing.py": of(PRICING, "n + RATE", "n + RATE + 0")})
        shown = watching.shown()
        assert "failed" not in shown.text.lower()
        assert [line.partition(" in ")[0] for line in shown.lines if line.startswith("PASS")] == [
            "PASS 2 passed",
            "PASS 4 passed",
        ]
        assert shown.ran == dict.fromkeys(
            ["test_held.py::test_slow", "test_held.py::test_held", *WHOLE], "passed"
        )
        assert watching.end() == 0


def test_a_failure_in_company_is_shown(tmp_path: Path) -> None:
    held = LEANING.format("[]")
    with Pair(tmp_path, {**FILES, "test_held.py": of(held, "HELD.append(1)", "pass")}) as watching:
        watching.shown()
        watching.settled()
        watching.write({"test_held.py": held})
        assert watching.shown().ran["test_held.py::test_held"] == "failed"
        # A file that is failing needs no confirmation: there is one rerun, and one record.
        watching.settled()
        assert watching.after({"test_held.py": f"{held}MORE = 1\n"}).status == "FAIL 1 failed, 1 passed"
        watching.settled()
        watching.write({"pricing.py": of(PRICING, "n + RATE", "n + RATE + 0")})
        first = watching.first()
        assert first.ran == {CART: "passed", "test_held.py::test_held": "passed", SHOP: "passed"}
        assert first.status == "PASS 3 passed · 3 more of 3 files follow"
        rest = watching.shown()
        assert rest.ran["test_held.py::test_held"] == "failed"
        assert rest.status.startswith("FAIL 1 failed, 5 passed")
        assert watching.end() == 1


def test_a_new_edit_cancels_the_rest(tmp_path: Path) -> None:
    slow = {name: text.replace("0.4", "2") for name, text in FILES.items()}
    with Pair(tmp_path, slow, ["--hotreload-slots=2"]) as watching:
        watching.shown()
        watching.settled()
        watching.write({"pricing.py": of(PRICING, "n + RATE", "n + RATE + 0")})
        assert watching.first().status == "PASS 2 passed · 2 more of 2 files follow"
        watching.rest_begins()
        watching.write({"test_cart.py": of(slow["test_cart.py"], "== 2", "== 1 + 1")})
        stopped = watching.shown()
        assert "hotreload: 2 test files run behind the tests of the new edit" in stopped.lines
        assert stopped.status.endswith(" · 2 test files without a result")
        first = watching.first()
        assert first.rerun == "RERUN test_cart.py: test_cart() → 1 test"
        assert first.status == "PASS 1 passed · 2 files follow"
        assert watching.shown().ran == dict.fromkeys(WHOLE, "passed")
        assert watching.end() == 0


def test_an_edit_without_effect_lets_the_rest_run(tmp_path: Path) -> None:
    slow = {name: text.replace("0.4", "1.5") for name, text in FILES.items()}
    with Pair(tmp_path, {**slow, "notes.txt": "a\n"}, ["--hotreload-slots=2"]) as watching:
        watching.shown()
        watching.settled()
        watching.write({"pricing.py": of(PRICING, "n + RATE", "n + RATE + 0")})
        watching.first()
        watching.rest_begins()
        watching.write({"notes.txt": "b\n"})
        assert watching.shown().status == "PASS 4 passed"
        assert watching.end() == 0


@pytest.mark.parametrize(
    ("change", "files"),
    [
        (("RATE = 1", "RATE = 1.0"), 2),
        (("return n\n", "return n + 0\n"), 2),
    ],
)
def test_one_rerun_where_a_second_would_not_be_worth_it(
    tmp_path: Path, change: tuple[str, str], files: int
) -> None:
    """A constant concerns all tests, and the slow tests are nearly all that there is."""
    with Pair(tmp_path, FILES) as watching:
        watching.shown()
        watching.settled()
        shown = watching.after({"pricing.py": of(PRICING, *change)})
        assert shown.rerun == f"RERUN pricing.py → {files} of 3 test files"
        assert shown.ran == dict.fromkeys(WHOLE, "passed")
        assert shown.text.count("test session starts") == 1


def test_what_a_run_stores_is_of_whole_files(tmp_path: Path) -> None:
    """The first rerun writes no last failures and no durations, and a part makes no file fresh."""
    slow = {name: text.replace("0.4", "1") for name, text in FILES.items()}
    with Pair(tmp_path, slow) as watching:
        watching.shown()
        watching.settled()
        cache = watching.path(".pytest_cache/v")
        known = {path: path.read_text() for path in cache.rglob("*") if path.is_file()}
        watching.write({"pricing.py": of(PRICING, "n + RATE", "net(n) + RATE")})
        watching.first()
        watching.rest_begins()
        assert {path: path.read_text() for path in cache.rglob("*") if path.is_file()} == known
        store = RecordStore(str(watching.path(".pytest_cache/d/hotreload")), str(watching.root))
        changed = [str(watching.path("pricing.py"))]
        assert [file for file, _, _ in store.affected(changed)] == ["test_cart.py", "test_shop.py"]
        # What the test ran now is known, and nothing that it ran before is forgotten.
        found = dict(store.functions_of("test_cart.py", CART) or ())
        assert found == {"pricing.py": ["gross", "net"], "test_cart.py": ["test_cart"]}
        watching.shown()


def test_a_death_of_the_first_rerun_is_not_shown(tmp_path: Path) -> None:
    """A test ends its process, but not behind the first test of its file."""
    dies = """\
        import os, time, pricing

        HELD = []

        def test_slow():
            time.sleep(0.5)
            HELD.append(1)

        def test_dies():
            assert pricing.gross(1) == 2
            if not HELD:
                os._exit(3)
        """
    with Pair(tmp_path, {"pricing.py": PRICING, "test_dies.py": dies}) as watching:
        assert watching.shown().status == "PASS 2 passed"
        watching.settled()
        shown = watching.after({"pricing.py": of(PRICING, "n + RATE", "n + RATE + 0")})
        assert shown.rerun == "RERUN pricing.py: gross() → 1 test"
        assert shown.ran == {"test_dies.py::test_slow": "passed", "test_dies.py::test_dies": "passed"}
        assert shown.status == "PASS 2 passed"
        assert watching.end() == 0


def test_a_failed_test_that_is_mended_runs_first(tmp_path: Path) -> None:
    wrong = of(FILES["test_cart.py"], "== 2", "== 3")
    with Pair(tmp_path, {**FILES, "test_cart.py": wrong}) as watching:
        assert watching.shown().status == "FAIL 1 failed, 4 passed"
        watching.settled()
        watching.write({"test_cart.py": FILES["test_cart.py"]})
        first = watching.first()
        assert first.rerun == "RERUN test_cart.py: test_cart() → 1 test"
        assert first.status == "PASS 1 passed · 1 more of 1 file follows"
        assert watching.shown().status == "PASS 2 passed"
        assert watching.end() == 0
