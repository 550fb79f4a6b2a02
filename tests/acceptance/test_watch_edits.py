"""Edits of test files and modules: the tests that run, their content, and the tests that stay failing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .processes import until
from .watching import Watching

#: Three test files: two with a leaf module each and a core that both use, and one that uses nothing.
_SHOP = {
    "core.py": "RATE = 1\n",
    "apple.py": "import core\n\nPRICE = 10\n",
    "pear.py": "import core\n\nPRICE = 20\n",
    "test_apple.py": """\
        import apple

        def test_price():
            price = apple.PRICE * apple.core.RATE
            assert price == 10
        """,
    "test_pear.py": """\
        import pear

        def test_price():
            price = pear.PRICE * pear.core.RATE
            assert price == 20
        """,
    "test_plain.py": """\
        def test_plain():
            pass
        """,
}
_FRUIT = ["test_apple.py", "test_pear.py"]


def test_an_edited_test_file_runs_alone_with_its_new_content(tmp_path: Path) -> None:
    with Watching(tmp_path, _SHOP) as watching:
        first = watching.shown()
        assert first.files == ["test_apple.py", "test_pear.py", "test_plain.py"]
        assert first.status == "PASS 3 passed"
        for number in range(3):
            shown = watching.after({"test_plain.py": f"def test_{number}(): pass\n"})
            assert shown.rerun == "RERUN test_plain.py → 1 of 3 test files"
            assert shown.ran == {f"test_plain.py::test_{number}": "passed"}
            assert shown.status == "PASS 1 passed"
        assert watching.end() == 0


def test_an_edited_leaf_module_runs_what_imports_it(tmp_path: Path) -> None:
    with Watching(tmp_path, _SHOP) as watching:
        watching.shown()
        for price, outcome, status in (
            (11, "failed", "FAIL 1 failed · confirmed with all files imported"),
            (12, "failed", "FAIL 1 failed"),
            (10, "passed", "PASS 1 passed"),
            (13, "failed", "FAIL 1 failed · confirmed with all files imported"),
        ):
            shown = watching.after({"apple.py": f"import core\n\nPRICE = {price}\n"})
            assert shown.rerun == "RERUN apple.py → 1 of 3 test files"
            assert shown.ran == {"test_apple.py::test_price": outcome}
            assert shown.status.removesuffix(" · confirmed with all files imported") == status.split(" · ")[0]
            assert (f"assert {price} == 10" in shown.errors) == (outcome == "failed")
        assert watching.end() == 1


def test_an_edited_core_runs_all_that_use_it(tmp_path: Path) -> None:
    with Watching(tmp_path, _SHOP) as watching:
        watching.shown()
        shown = watching.after({"core.py": "RATE = 2\n"})
        assert shown.text.count("test session starts") == 1
        assert shown.rerun == "RERUN core.py → 2 of 3 test files"
        assert shown.ran == {"test_apple.py::test_price": "failed", "test_pear.py::test_price": "failed"}
        assert "assert 20 == 10" in shown.errors
        assert "assert 40 == 20" in shown.errors
        assert shown.status == "FAIL 2 failed · confirmed with all files imported"
        shown = watching.after({"core.py": "RATE = 1\n"})
        assert shown.files == _FRUIT
        assert shown.status == "PASS 2 passed"
        assert watching.end() == 0


@pytest.mark.slow
def test_edits_of_a_module_and_of_its_test_take_turns(tmp_path: Path) -> None:
    """Each is held by fork points that the other made stale."""
    with Watching(tmp_path, _SHOP) as watching:
        watching.shown()
        for price in range(11, 17):
            shown = watching.after({"apple.py": f"import core\n\nPRICE = {price}\n"})
            assert f"assert {price} == {price - 1}" in shown.errors
            shown = watching.after(
                {
                    "test_apple.py": f"""\
                        import apple

                        def test_price():
                            price = apple.PRICE * apple.core.RATE
                            assert price == {price}
                        """
                }
            )
            assert shown.rerun == "RERUN test_apple.py → 1 of 3 test files"
            assert shown.status == "PASS 1 passed"
        shown = watching.after({"test_plain.py": "def test_again(): pass\n"})
        assert shown.ran == {"test_plain.py::test_again": "passed"}
        shown = watching.after({"core.py": "RATE = 3\n"})
        assert "assert 48 == 16" in shown.errors
        assert "assert 60 == 20" in shown.errors


@pytest.mark.slow
def test_all_modules_edited_in_turn(tmp_path: Path) -> None:
    """The order of edits decides what the fork points hold; never what the tests see."""
    with Watching(tmp_path, _SHOP) as watching:
        watching.shown()
        rate: float = 1
        for turn in range(2, 5):
            shown = watching.after({"apple.py": f"import core\n\nPRICE = {10 * turn}\n"})
            assert f"assert {10 * turn * rate} == 10" in shown.errors
            assert shown.files == ["test_apple.py"]
            shown = watching.after({"pear.py": f"import core\n\nPRICE = {20 * turn}\n"})
            assert f"assert {20 * turn * rate} == 20" in shown.errors
            assert shown.files == ["test_pear.py"]
            assert shown.status.endswith(" · still failing: test_apple.py::test_price")
            rate = 1 / turn
            shown = watching.after({"core.py": f"RATE = {rate}\n"})
            assert shown.ran == {"test_apple.py::test_price": "passed", "test_pear.py::test_price": "passed"}
            assert shown.status == "PASS 2 passed"


def test_what_is_red_elsewhere_stays_visible(tmp_path: Path) -> None:
    with Watching(tmp_path, _SHOP) as watching:
        watching.shown()
        shown = watching.after({"apple.py": "import core\n\nPRICE = 11\n"})
        assert shown.status == "FAIL 1 failed · confirmed with all files imported"
        shown = watching.after({"test_plain.py": "def test_other(): pass\n"})
        assert shown.ran == {"test_plain.py::test_other": "passed"}
        assert shown.status == "FAIL 1 passed · still failing: test_apple.py::test_price"
        shown = watching.after({"apple.py": "import core\n\nPRICE = 10\n"})
        assert shown.status == "PASS 1 passed"
        assert watching.end() == 0


def test_a_test_that_passes_in_company_only_stays_green(tmp_path: Path) -> None:
    """It leans on a module that another test file imports: alone it would fail."""
    leaning = """\
        import sys

        EDIT = {0}

        def test_leans():
            assert "apple" in sys.modules
        """
    with Watching(tmp_path, {**_SHOP, "test_leans.py": leaning.format(0)}) as watching:
        assert watching.shown().status == "PASS 4 passed"
        for number in (1, 2):
            shown = watching.after({"test_leans.py": leaning.format(number)})
            assert shown.ran == {"test_leans.py::test_leans": "passed"}
            assert shown.status.removesuffix(" · confirmed with all files imported") == "PASS 1 passed"
        # What it leans on is edited, so no fork point holds it.
        shown = watching.after({"apple.py": "import core\n\nPRICE = 10.0\n"})
        assert shown.files == ["test_apple.py"]
        shown = watching.after({"test_leans.py": leaning.format(3)})
        assert shown.ran == {"test_leans.py::test_leans": "passed"}
        assert shown.status.removesuffix(" · confirmed with all files imported") == "PASS 1 passed"
        assert watching.end() == 0


def test_an_edit_that_concerns_no_test(tmp_path: Path) -> None:
    with Watching(tmp_path, {**_SHOP, "unused.py": "A = 1\n", "notes.txt": "a\n"}) as watching:
        watching.shown()
        shown = watching.after({"unused.py": "A = 2\n"})
        assert shown.lines == ["unused.py: no test file is affected · watching, h for help"]
        shown = watching.after({"notes.txt": "b\n"})
        assert shown.lines == ["notes.txt: no test file is affected · watching, h for help"]
        shown = watching.after({"test_plain.py": "def test_plain(): assert 0\n"})
        assert shown.ran == {"test_plain.py::test_plain": "failed"}
        shown = watching.after({"notes.txt": "c\n"})
        assert shown.lines == ["notes.txt: no test file is affected · watching, h for help"]
        assert watching.end() == 1


def test_skipped_xfailed_and_errors_count_as_they_are(tmp_path: Path) -> None:
    kinds = """\
        import pytest

        @pytest.fixture
        def broken():
            assert {0}

        def test_error(broken): pass
        @pytest.mark.skip
        def test_skip(): pass
        @pytest.mark.xfail
        def test_xfail(): assert 0
        @pytest.mark.xfail
        def test_xpass(): pass
        """
    with Watching(tmp_path, {"test_kinds.py": kinds.format(1)}) as watching:
        assert watching.shown().status == "PASS 1 passed, 1 skipped, 1 xfailed, 1 xpassed"
        shown = watching.after({"test_kinds.py": kinds.format(0)})
        assert shown.status == "FAIL 1 error, 1 skipped, 1 xfailed, 1 xpassed"
        assert "assert 0" in shown.errors
        assert watching.end() == 1


def test_a_failure_has_the_source_that_failed(tmp_path: Path) -> None:
    """Lines of a traceback are read from the disk; an older file of that name may be in a cache of lines."""
    module = "def give():\n{0}    raise ValueError('number {1}')\n"
    files = {"giver.py": module.format("", 0), "test_giver.py": "import giver\n\ndef test(): giver.give()\n"}
    with Watching(tmp_path, files) as watching:
        assert "ValueError: number 0" in watching.shown().errors
        for number in (1, 2, 3):
            shown = watching.after({"giver.py": module.format("    # moved\n" * number, number)})
            assert f">       raise ValueError('number {number}')" in shown.lines
            assert f"giver.py:{number + 2}: ValueError" in shown.lines


@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on")
def test_an_edit_of_a_function_runs_who_ran_it(tmp_path: Path) -> None:
    part = "def used():\n    return 1\n\ndef other():\n    return 2\n\ndef unused():\n    return 3\n"
    files = {
        "part.py": part,
        "test_one.py": "import part\n\ndef test_one(): assert part.used() == 1\n",
        "test_two.py": "import part\n\ndef test_two(): assert part.other() == 2\n",
    }
    with Watching(tmp_path, files) as watching:
        assert watching.shown().status == "PASS 2 passed"

        folder = watching.path(".pytest_cache/d/hotreload")

        def recorded() -> set[str]:
            """The recorded contents of the module, when the last rerun has saved all that it saves."""
            files = list(folder.rglob("test_*.json"))
            saved = [path.stat().st_mtime_ns for path in folder.glob("*/index")]
            if len(files) < 2 or not saved or saved[0] < max(path.stat().st_mtime_ns for path in files):
                return set()
            records = [json.loads(path.read_text().splitlines()[1]) for path in files]
            return {dict(record["closure"])["part.py"] for record in records}

        def ran_after(text: str) -> dict[str, str]:
            """A run saves its records behind its last line; an edit before that would be in them."""
            before = recorded()
            ran = watching.after({"part.py": text}).ran
            until(lambda: recorded() - before, "the records")
            return ran

        until(recorded, "the first records")
        part += "EDIT = 1\n"
        assert len(ran_after(part)) == 2
        part = part.replace("return 1", "return 1.0")
        assert ran_after(part) == {"test_one.py::test_one": "passed"}
        part = "# A comment.\n" + part
        shown = watching.after({"part.py": part})
        assert shown.lines == ["part.py: only comments, layout or positions changed · watching, h for help"]
        part = part.replace("return 3", "return 4")
        shown = watching.after({"part.py": part})
        assert shown.lines == ["part.py: unused changed, which no test ran · watching, h for help"]
        # What runs is what is on disk, though nothing ran since.
        part = part.replace("return 2", "return unused() - 2")
        assert watching.after({"part.py": part}).ran == {"test_two.py::test_two": "passed"}
        assert watching.end() == 0
