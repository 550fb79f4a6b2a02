"""Popular plugins, one at a time: outcomes, output and files equal plain pytest's."""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

import pytest

MIXED = {
    "test_a.py": """
        import pytest

        def test_passes(): print("said")
        def test_fails(): assert [1, 2] == [1, 3]
        @pytest.mark.skip(reason="why not")
        def test_skips(): pass
        @pytest.fixture
        def breaks(): raise RuntimeError("broken")
        def test_error(breaks): pass
    """,
    "test_b.py": "import pytest\n@pytest.mark.parametrize('n', range(3))\ndef test_n(n): assert n\n",
}


def using(project: Any, *modules: str) -> Any:
    """Load these plugins, or skip."""
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed")
    project.plugins = list(modules)
    return project


def test_asyncio(project, slots):
    using(project, "pytest_asyncio.plugin").write({
        "pytest.ini": "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = session\n",
        "conftest.py": """
            import asyncio, pytest_asyncio

            @pytest_asyncio.fixture(scope="session")
            async def loop_of_session():
                yield asyncio.get_running_loop()
        """,
        "test_a.py": """
            import asyncio, pytest

            async def test_passes(): await asyncio.sleep(0)
            async def test_fails():
                await asyncio.sleep(0)
                assert 0
            @pytest.mark.asyncio(loop_scope="session")
            async def test_loop(loop_of_session): assert loop_of_session is asyncio.get_running_loop()
        """,
        "test_b.py": "import asyncio\nasync def test_other(loop_of_session): await asyncio.sleep(0)\n",
    })  # fmt: skip
    _, ours = project.same("-v", slots=slots)
    assert ours.lines[-1] == "== 1 failed, 3 passed in TIME =="


@pytest.mark.parametrize("module", ["anyio.pytest_plugin", "pytest_trio.plugin"])
def test_other_event_loops(project, slots, module):
    using(project, module)
    mark = {"anyio.pytest_plugin": "anyio", "pytest_trio.plugin": "trio"}[module]
    library = {"anyio": "anyio", "trio": "trio"}[mark]
    project.write({
        f"test_{name}.py": f"""
            import {library}, pytest

            @pytest.fixture
            def anyio_backend(): return "asyncio"

            @pytest.mark.{mark}
            async def test_passes(): await {library}.sleep(0)

            @pytest.mark.{mark}
            async def test_fails():
                await {library}.sleep(0)
                assert 0
        """
        for name in "ab"
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert ours.lines[-1].startswith("== 2 failed, 2 passed")


def test_mock(project, slots):
    using(project, "pytest_mock").write({
        "test_a.py": """
            import os
            def test_patches(mocker):
                mocker.patch("os.getcwd", return_value="here")
                assert os.getcwd() == "here"
            def test_undone(): assert os.getcwd() != "here"
            def test_shows_calls(mocker):
                stub = mocker.stub()
                stub(1, 2)
                stub.assert_called_once_with(1, 3)
        """,
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert ours.lines[-1] == "== 1 failed, 2 passed in TIME =="


def test_html(project, slots):
    """The same tests and results, in the same order; its own worker mode is not entered."""
    using(project, "pytest_metadata.plugin", "pytest_html.plugin").write(MIXED)
    plain, ours = project.same("--html=report.html", slots=slots)
    assert html_results(ours) == html_results(plain)
    assert len(html_results(ours)) == 7


def html_results(result: Any) -> list[tuple[str, str]]:
    found = re.search(r'data-jsonblob="([^"]*)"', (result.root / "report.html").read_text())
    assert found is not None
    blob = json.loads(found.group(1).replace("&#34;", '"').replace("&amp;", "&"))
    return [(name, each["result"]) for name, tests in blob["tests"].items() for each in tests]


def test_json_report(project, slots):
    using(project, "pytest_metadata.plugin", "pytest_jsonreport.plugin").write(MIXED)
    plain, ours = project.same("--json-report", "--json-report-file=report.json", slots=slots)
    assert without_times(ours.json("report.json")) == without_times(plain.json("report.json"))


def without_times(report: Any) -> Any:
    if isinstance(report, dict):
        left_out = (
            "duration",
            "created",
            "root",
            "environment",
            "start",
            "stop",
            "msecs",
            "longrepr",
            "path",
        )
        return {key: without_times(value) for key, value in report.items() if key not in left_out}
    if isinstance(report, list):
        return [without_times(each) for each in report]
    return report


def test_reportlog(project, slots):
    using(project, "pytest_reportlog.plugin").write(MIXED)
    plain, ours = project.same("--report-log=log.json", slots=slots)

    def entries(result: Any) -> list[Any]:
        return [
            without_times(json.loads(line)) for line in (result.root / "log.json").read_text().splitlines()
        ]

    assert entries(ours) == entries(plain)


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("pytest_instafail", "--instafail"),
        ("pytest_instafail", "--instafail --tb=line"),
        ("pytest_sugar", "--force-sugar"),
    ],
)
def test_plugins_that_replace_the_reporter(project, slots, module, options):
    using(project, module).write(MIXED)
    plain, ours = project.both(*options.split(), slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    if module == "pytest_instafail":
        assert ours.lines == plain.lines
    else:
        shown = [
            sorted(line for line in each.lines if "✓" in line or "failed" in line) for each in (plain, ours)
        ]
        assert len(shown[1]) == len(shown[0])


@pytest.mark.parametrize("options", ["--randomly-seed=7", "--randomly-seed=123 --randomly-dont-reorganize"])
def test_randomly(project, slots, options):
    """A fixed seed gives one order and one random number for each test."""
    using(project, "pytest_randomly").write({
        f"test_{name}.py": """
            import random, pytest

            @pytest.mark.parametrize("n", range(4))
            def test_n(n, record_property): record_property("number", random.random())
        """
        for name in "abc"
    })  # fmt: skip
    _, ours = project.same(*options.split(), "-v", slots=slots)
    assert len(ours.order) == 12
    assert ours.status == 0


@pytest.mark.parametrize("options", ["", "--order-scope=module", "--indulgent-ordering"])
def test_order(project, slots, options):
    using(project, "pytest_order.plugin").write({
        "test_a.py": """
            import pytest
            @pytest.mark.order(3)
            def test_third(): pass
            @pytest.mark.order("last")
            def test_last(): pass
            def test_free(): pass
        """,
        "test_b.py": """
            import pytest
            @pytest.mark.order(1)
            def test_first(): pass
            @pytest.mark.order(2)
            def test_second(): assert 0
        """,
    })  # fmt: skip
    _, ours = project.same(*options.split(), "-v", slots=slots)
    assert ours.status == 1


def test_dependency(project, slots):
    """Within a file; a dependency across files is another process's result."""
    using(project, "pytest_dependency").write({
        "test_a.py": """
            import pytest
            @pytest.mark.dependency()
            def test_base(): assert 0
            @pytest.mark.dependency(depends=["test_base"])
            def test_needs(): pass
            @pytest.mark.dependency()
            def test_good(): pass
            @pytest.mark.dependency(depends=["test_good"])
            def test_needs_good(): pass
        """,
    })  # fmt: skip
    _, ours = project.same("-rs", slots=slots)
    assert ours.lines[-1] == "== 1 failed, 2 passed, 1 skipped in TIME =="


def test_benchmarks_are_left_to_plain_pytest(project, slots):
    using(project, "pytest_benchmark.plugin").write({
        "test_a.py": "import os\ndef test_speed(benchmark): benchmark(abs, -1)\n",
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    ours = project.run("--benchmark-min-rounds=1", "--benchmark-max-time=0.01", slots=slots)
    (notice,) = [line for line in ours.notices if "plain pytest" in line]
    assert notice == (
        "hotreload: plain pytest runs this suite, without children: pytest-benchmark keeps its results in the process"
    )
    assert ours.status == 0
    assert any(line.startswith("test_speed") for line in ours.lines)
    assert [line for line in ours.notices if " child" in line and line is not notice] == []


def test_benchmarks_that_are_off_run_in_children(project, slots):
    using(project, "pytest_benchmark.plugin").write(
        {"test_a.py": "def test_speed(benchmark): benchmark(abs, -1)\n"}
    )
    ours = project.run("--benchmark-disable", slots=slots)
    assert ours.notices[-1].startswith("hotreload: 1 file in 1 child")


def test_testmon_is_refused_by_one_line(project, slots):
    using(project, "testmon.pytest_testmon").write(MIXED)
    ours = project.run("--testmon", slots=slots)
    assert ours.status == 4
    assert ours.errors == [
        "ERROR: hotreload: --hotreload and --testmon both select the tests to run; hint: leave one of the two out",
        "",
    ]
    assert ours.outcomes == {}


@pytest.mark.slow
def test_hypothesis(project, slots):
    using(project, "_hypothesis_pytestplugin")
    pytest.importorskip("hypothesis", reason="hypothesis is not installed")
    project.write({
        f"test_{name}.py": """
            from hypothesis import given, settings, strategies as st

            @settings(database=None, derandomize=True)
            @given(st.integers())
            def test_finds(n): assert n < 100

            @settings(max_examples=5, database=None)
            @given(st.text())
            def test_holds(text): assert text == text
        """
        for name in "ab"
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert ours.lines[-1] == "== 2 failed, 2 passed in TIME =="


def test_socket(project, slots):
    using(project, "pytest_socket").write({
        "test_a.py": "import socket\ndef test_a(): socket.socket()\n",
        "test_b.py": "import socket, pytest\n@pytest.mark.enable_socket\ndef test_b(): socket.socket().close()\n",
    })  # fmt: skip
    _, ours = project.same("--disable-socket", slots=slots)
    assert ours.lines[-1].startswith("== 1 failed, 1 passed")


def test_env(project, slots):
    name = "pytest_env.plugin" if importlib.util.find_spec("pytest_env") else "pytest_env"
    using(project, name).write({
        "pytest.ini": "[pytest]\nenv =\n    SHOP=open\n    D:SHOP=shut\n    WHERE=town\n",
        "test_a.py": """
            import os
            WHERE = os.environ["WHERE"]
            def test_a(): assert (WHERE, os.environ["SHOP"]) == ("town", "open")
        """,
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert ours.status == 0


def test_syrupy(project, slots):
    """Its unused snapshots are known only when all tests of all files have run."""
    using(project, "syrupy").write({
        f"test_{name}.py": """
            def test_a(snapshot): assert [1, 2] == snapshot
            def test_b(snapshot): assert "x" == snapshot
        """
        for name in "ab"
    })  # fmt: skip
    for side in (None, slots):
        assert project.run("--snapshot-update", slots=side).status == 0
    plain, ours = project.both(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert (ours.status, "4 snapshots passed." in ours.lines) == (
        plain.status,
        "4 snapshots passed." in plain.lines,
    )
    project.write({"test_b.py": "def test_a(snapshot): assert [1, 3] == snapshot\n"})
    plain, ours = project.both(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
