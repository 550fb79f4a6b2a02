"""Real plugins that gather data in memory while tests run: the same files and tables as in plain pytest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from .compare import assert_same


def using(project: Any, *modules: str) -> Any:
    """Load these plugins, or skip."""
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed")
    project.plugins = list(modules)
    return project


def without_times(text: str) -> str:
    return re.sub(r'"(duration|start|stop)": [\d.]+', r'"\1": 0', text)


def left_to_plain(result: Any) -> list[str]:
    return [line for line in result.notices if "plain pytest" in line]


FEATURE = """
    Feature: Shop
      Scenario: Buy
        Given an empty basket
        When I add 2 things
        Then the basket holds 2
      Scenario: Lose
        Given an empty basket
        When I add 1 things
        Then the basket holds 3
"""
STEPS = """
    from pytest_bdd import given, parsers, scenarios, then, when
    scenarios("shop.feature")
    @given("an empty basket", target_fixture="basket")
    def _(): return []
    @when(parsers.parse("I add {n:d} things"))
    def _(basket, n): basket.extend(range(n))
    @then(parsers.parse("the basket holds {m:d}"))
    def _(basket, m): assert len(basket) == m
"""


def test_bdd(project, slots):
    using(project, "pytest_bdd.plugin").write({
        "shop.feature": FEATURE, "test_a.py": STEPS, "test_b.py": STEPS, "test_c.py": "def test_c(): pass\n",
    })  # fmt: skip
    plain, ours = project.same("--cucumberjson=c.json", "-p", "no:warnings", slots=slots)
    assert without_times(ours.read("c.json")) == without_times(plain.read("c.json"))
    assert len(ours.json("c.json")[0]["elements"]) == 4


@pytest.mark.parametrize("verbose", ["-v", "-vv"])
def test_bdd_terminal(project, slots, verbose):
    using(project, "pytest_bdd.plugin").write(
        {"shop.feature": FEATURE, "test_a.py": STEPS, "test_b.py": STEPS}
    )
    _, ours = project.same("--gherkin-terminal-reporter", verbose, "-p", "no:warnings", slots=slots)
    assert ours.output.count("Scenario: Buy") == 2


def test_harvest(project, slots):
    """Results bags, and what it hangs on items, in a conftest's own session-end hook."""
    using(project, "xdist", "pytest_harvest.plugin").write({
        "conftest.py": """
            from pathlib import Path
            from pytest_harvest import get_session_results_dct

            def pytest_sessionfinish(session):
                found = get_session_results_dct(session)
                Path("found.txt").write_text(str([
                    (name, row["status"], dict(row["fixtures"].get("results_bag", {}))) for name, row in found.items()
                ]))
        """,
        "test_a.py": """
            def test_a(results_bag): results_bag.score = 1
            def test_fails(results_bag): assert 0
        """,
        "test_b.py": "def test_b(results_bag): results_bag.name = 'b'\n",
    })  # fmt: skip
    plain, ours = project.both("-p", "no:warnings", slots=slots)
    assert_same(plain, ours)
    assert ours.read("found.txt") == plain.read("found.txt")
    assert [word in ours.read("found.txt") for word in ("'score': 1", "'name': 'b'")] == [True, True]


@pytest.mark.parametrize("how", ["", "--hotreload-isolate=strict", "--hotreload-start=spawn"])
def test_retry(project, slots, how):
    """Its table of what was tried again. It asks each worker for the port of a server that only ``-n`` starts."""
    test = """
        import pytest
        TRIED = []
        @pytest.mark.flaky(retries=2)
        def test_flaky():
            TRIED.append(1)
            assert len(TRIED) == 2
        @pytest.mark.flaky(retries=1)
        def test_never(): assert 0
    """
    using(project, "pytest_retry.retry_plugin").write({"test_a.py": test, "test_b.py": test})
    plain, ours = project.both("-p", "no:warnings", slots=slots, extra=[how] if how else [])
    assert_same(plain, ours)
    assert ours.output.count("test_flaky passed on attempt 2!") == 2


def test_profiling(project, slots):
    using(project, "pytest_profiling").write({
        f"test_{name}.py": f"def work(): return sum(range(1000))\ndef test_{name}(): work()\n" for name in "ab"
    })  # fmt: skip
    plain, ours = project.both("--profile", "--element-number=2000", "-p", "no:warnings", slots=slots)
    assert ours.outcomes == plain.outcomes
    files = sorted(path.name for path in (ours.root / "prof").iterdir())
    assert files == ["combined.prof", "test_a.prof", "test_b.prof"]
    assert "(work)" in ours.output
    assert len([line for line in ours.lines if line.endswith("(work)")]) == 2


def test_insta(project, slots):
    using(project, "pytest_insta.plugin").write({
        f"test_{name}.py": f"def test_{name}(snapshot): assert snapshot() == 'said {name}'\n" for name in "ab"
    })  # fmt: skip
    plain, ours = project.same("-p", "no:warnings", slots=slots)
    assert [line for line in ours.lines if line.startswith("CREATE")] == [
        "CREATE snapshots/a__a__0.txt",
        "CREATE snapshots/b__b__0.txt",
    ] or len([line for line in ours.lines if line.startswith("CREATE")]) == 2
    assert sorted(p.name for p in (ours.root / "snapshots").iterdir()) == sorted(
        p.name for p in (plain.root / "snapshots").iterdir()
    )


@pytest.mark.parametrize("flags", ["create,fix", "report", ""])
def test_inline_snapshot(project, slots, flags):
    """It rewrites source by the frames that ran: plain pytest does it."""
    using(project, "inline_snapshot.pytest_plugin").write({
        f"test_{name}.py": f"""
            from inline_snapshot import snapshot
            def test_new(): assert "{name}" == snapshot()
            def test_wrong(): assert [1, 2] == snapshot([1, 3])
        """
        for name in "ab"
    })  # fmt: skip
    project.environ = {"INLINE_SNAPSHOT_DEFAULT_FLAGS": "report"}
    plain, ours = project.both(*([f"--inline-snapshot={flags}"] if flags else []), slots=slots)
    assert_same(plain, ours)
    for name in ("test_a.py", "test_b.py"):
        assert ours.read(name) == plain.read(name)
    assert len(left_to_plain(ours)) == 1


def test_inline_snapshot_that_does_nothing(project, slots):
    using(project, "inline_snapshot.pytest_plugin").write({
        "test_a.py": "from inline_snapshot import snapshot\ndef test_a(): assert 1 == snapshot(1)\n",
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    _, ours = project.same("--inline-snapshot=disable", slots=slots)
    assert left_to_plain(ours) == []


def test_mpl(project, slots):
    """Hashes of all figures in one library."""
    using(project, "pytest_mpl.plugin").write({
        f"test_{name}.py": f"""
            import pytest
            @pytest.mark.mpl_image_compare
            def test_{name}():
                import matplotlib.pyplot as plt
                figure, axes = plt.subplots()
                axes.plot([1, 2, {ord(name)}])
                return figure
        """
        for name in "ab"
    })  # fmt: skip
    args = ("--mpl", "--mpl-generate-path=made", "--mpl-generate-hash-library=hashes.json")
    plain, ours = project.both(*args, "-p", "no:warnings", slots=slots)
    assert ours.json("hashes.json") == plain.json("hashes.json")
    assert sorted(ours.json("hashes.json")) == ["test_a.test_a", "test_b.test_b"]
    assert sorted(p.name for p in Path(ours.root / "made").iterdir()) == ["test_a.png", "test_b.png"]


def test_durations(project, slots):
    project.write({
        f"test_{name}.py": f"import time\ndef test_slow(): time.sleep({seconds})\ndef test_fast(): pass\n"
        for name, seconds in (("a", 0.05), ("b", 0.2))
    })  # fmt: skip
    _, ours = project.same("--durations=2", "--durations-min=0.04", slots=slots)
    table = [line for line in ours.lines if line.startswith("TIME call")]
    assert sorted(table) == ["TIME call     test_a.py::test_slow", "TIME call     test_b.py::test_slow"]
