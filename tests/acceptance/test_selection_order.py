"""Orders in which the items of a file are not adjacent."""

from __future__ import annotations

import pytest

FILES = {
    f"test_{n}.py": f"""\
        import pytest, time

        seen = []

        @pytest.fixture(scope="module")
        def wide():
            print("up {n}")
            yield seen
            print("down {n}")

        @pytest.mark.parametrize("i", range(4))
        def test_i(i, wide):
            print("test {n}", i)
            seen.append(i)
            assert seen[-1] == i and i != 2

        def test_seen(wide):
            assert len(seen) >= 0
        """
    for n in "abc"
}

INTERLEAVED = (
    "def pytest_collection_modifyitems(items):\n    items.sort(key=lambda item: (item.name, item.nodeid))\n"
)
REVERSED = "def pytest_collection_modifyitems(items):\n    items.reverse()\n"
DROPS = """\
    def pytest_collection_modifyitems(items, config):
        dropped = [item for item in items if item.name == "test_i[1]"]
        items[:] = [item for item in items if item not in dropped][::2]
        config.hook.pytest_deselected(items=dropped)
    """
DOUBLES = "def pytest_collection_modifyitems(items):\n    items[:] = items + items[:3]\n"


@pytest.mark.parametrize("conftest", [REVERSED, DROPS], ids=["reversed", "dropped"])
@pytest.mark.parametrize("options", ["-v"])
def test_conftests_that_reorder(project, slots, conftest, options):
    project.write({**FILES, "conftest.py": conftest})
    _, ours = project.same(*options.split(), slots=slots)
    assert ours.status == (1 if conftest == REVERSED else 0)
    assert len(ours.outcomes) == (15 if conftest == REVERSED else 6)


@pytest.mark.parametrize("options", ["", "-v", "-x"])
def test_interleaved_files(project, slots, options):
    """Each file is set up once in its own child; plain pytest tears its module down in between."""
    project.write({**FILES, "conftest.py": INTERLEAVED})
    plain, ours = project.both(*options.split(), slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.order == plain.order
    assert ours.status == plain.status == 1
    strip = ("up ", "down ", "---")
    assert [line for line in ours.lines if not line.startswith(strip)] == [
        line for line in plain.lines if not line.startswith(strip)
    ]


def test_items_that_run_twice(project, slots):
    project.write({**FILES, "conftest.py": DOUBLES})
    plain, ours = project.both(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines[-1] == plain.lines[-1]


def test_randomly(project, slots):
    seed = 7
    pytest.importorskip("pytest_randomly")
    project.plugins = ("randomly",)
    project.write(
        {
            **FILES,
            "test_random.py": """\
            import random

            def test_value():
                assert random.random() == 2

            def test_other():
                assert random.randrange(10**9) == -1
            """,
        }
    )
    plain, ours = project.both(f"--randomly-seed={seed}", slots=slots)
    assert ours.order == plain.order
    assert ours.outcomes == plain.outcomes
    values = [line for line in plain.lines if line.startswith("E  ") and "==" in line]
    assert [line for line in ours.lines if line.startswith("E  ") and "==" in line] == values


@pytest.mark.parametrize("options", ["--ff"])
def test_failed_first_interleaves(project, slots, options):
    project.write(FILES)
    project.same(slots=slots)
    plain, ours = project.both(*options.split(), slots=slots)
    assert ours.order == plain.order
    assert ours.outcomes == plain.outcomes


def test_many_small_files_on_few_slots(project):
    project.write(
        {
            f"test_{n:02}.py": f"import time\ndef test_n(): time.sleep({(n * 7) % 5} / 100)\n"
            for n in range(30)
        }
    )
    _, ours = project.same(slots=3)
    assert len(ours.outcomes) == 30
    _, ours = project.same("-v", slots=2)  # with durations of the first round: longest first
    assert ours.order == [f"test_{n:02}.py::test_n" for n in range(30)]
