"""Records of files of which ``-m``, ``-k`` or ``--deselect`` leave tests out: they hold for the same selection."""

from __future__ import annotations

from pathlib import Path

import pytest

from .keeping import Kept, outcomes, said

INI = "[pytest]\nmarkers = slow\naddopts = {options}\n"
FILES = {
    "pytest.ini": INI.format(options="-m 'not slow'"),
    "quick.py": "VALUE = 1\n",
    "slow.txt": "1",
    "test_a.py": """\
        import pytest

        def test_quick():
            import quick
            assert quick.VALUE

        @pytest.mark.slow
        def test_slow():
            assert int(open("slow.txt").read())
        """,
    "test_b.py": "def test_b():\n    import quick\n",
}
QUICK, SLOW, B = "test_a.py::test_quick", "test_a.py::test_slow", "test_b.py::test_b"


def selected(kept: Kept, *arguments: str) -> list[str]:
    """The tests that run, with ``--affected``."""
    return sorted(outcomes(kept.run("--affected", *arguments)))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    kept = Kept(tmp_path, FILES)
    assert outcomes(kept.run()) == {QUICK: "passed", B: "passed"}
    return kept


@pytest.mark.parametrize("options", ["-m 'not slow'", "-k 'not slow'", f"--deselect={SLOW}"])
@pytest.mark.parametrize("place", ["addopts", "command line"])
def test_the_same_selection_is_reused(tmp_path: Path, options: str, place: str) -> None:
    kept = Kept(tmp_path, {**FILES, "pytest.ini": INI.format(options=options if place == "addopts" else "")})
    given = [options.replace("'", "").partition(" ")[::2]] if place != "addopts" else []
    arguments = [word for pair in given for word in pair if word]
    assert outcomes(kept.run(*arguments)) == {QUICK: "passed", B: "passed"}
    assert selected(kept, *arguments) == []
    assert set(outcomes(kept.run("--reuse=on", *arguments)).values()) == {"skipped"}
    kept.write({"quick.py": "VALUE = 2\n"})
    assert selected(kept, *arguments) == [QUICK, B]
    assert selected(kept, *arguments) == []


def test_what_was_left_out_is_no_input(kept: Kept) -> None:
    kept.write({"slow.txt": "0"})
    assert selected(kept) == []


def test_another_selection_runs(kept: Kept) -> None:
    assert selected(kept, "-m", "") == [QUICK, SLOW]
    assert selected(kept, "-m", "") == []


def test_a_record_of_the_whole_file_holds_for_each_selection(kept: Kept) -> None:
    kept.run("-m", "")
    assert selected(kept) == []
    assert selected(kept, "-k", "quick") == []
    kept.run()
    assert selected(kept, "-m", "") == []


def test_a_record_of_the_whole_file_that_does_not_hold_is_replaced(kept: Kept) -> None:
    kept.run("-m", "")
    kept.write({"quick.py": "VALUE = 2\n"})
    assert selected(kept) == [QUICK, B]
    assert selected(kept) == []
    assert selected(kept, "-m", "") == [QUICK, SLOW]


def test_a_selection_by_hand_replaces_no_record_of_the_usual_one(kept: Kept) -> None:
    assert outcomes(kept.run("-m", "slow")) == {SLOW: "passed"}
    assert selected(kept) == []
    kept.write({"slow.txt": "0"})
    assert outcomes(kept.run("-m", "slow")) == {SLOW: "failed"}


def test_a_failure_of_a_selection_by_hand_counts(kept: Kept) -> None:
    kept.write({"slow.txt": "0"})
    kept.run("-m", "slow")
    assert selected(kept) == [QUICK]


@pytest.mark.parametrize("calls_the_hook", [True, False])
def test_what_a_conftest_leaves_out_leaves_no_record(tmp_path: Path, calls_the_hook: bool) -> None:
    """It may decide by what nobody observes."""
    call = "    config.hook.pytest_deselected(items=out)\n" * calls_the_hook
    conftest = (
        "def pytest_collection_modifyitems(config, items):\n"
        "    out = [item for item in items if 'quick' in item.name]\n"
        f"{call}    items[:] = [item for item in items if 'quick' not in item.name]\n"
    )
    kept = Kept(tmp_path, {**FILES, "conftest.py": conftest, "pytest.ini": INI.format(options="")})
    assert outcomes(kept.run()) == {SLOW: "passed", B: "passed"}
    assert selected(kept) == [SLOW]


def test_what_a_conftest_leaves_out_besides_leaves_no_record(tmp_path: Path) -> None:
    conftest = "def pytest_collection_modifyitems(items):\n    items[:] = [i for i in items if 'third' not in i.name]\n"
    third = FILES["test_a.py"] + "\n        def test_third():\n            pass\n"
    kept = Kept(tmp_path, {**FILES, "conftest.py": conftest, "test_a.py": third})
    assert outcomes(kept.run()) == {QUICK: "passed", B: "passed"}
    assert selected(kept) == [QUICK]


def test_the_reason_names_the_selection(kept: Kept) -> None:
    (told,) = [line for line in said(kept.run("--affected", "-m", "", "-v")) if "environment changed" in line]
    assert told.endswith('environment changed: selection -m "not slow" → all tests')
