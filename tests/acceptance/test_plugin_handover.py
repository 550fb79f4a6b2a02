"""Data that plugins send from a child to the controller, prepare, withdraw, or fail to send."""

from __future__ import annotations

import json

import pytest

#: A plugin that knows xdist's workers, as flaky does: prepared when it is configured, filled while tests run.
EARLY = """
    import pytest

    def pytest_configure(config):
        if hasattr(config, "workeroutput"):
            config.workeroutput["names"] = []

    def pytest_sessionstart(session):
        if hasattr(session.config, "workerinput"):
            session.config.workeroutput["count"] = 0

    def pytest_runtest_makereport(item, call):
        if call.when == "call":
            gathered.append(item.name)

    gathered = []

    def pytest_sessionfinish(session):
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["names"] += gathered
            output["count"] += len(gathered)

    found = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(node, error):
        output = getattr(node, "workeroutput", {"names": [], "count": 0})
        found.setdefault("names", []).extend(output["names"])
        found["count"] = found.get("count", 0) + output["count"]

    def pytest_unconfigure(config):
        if found:
            (config.rootpath / "found").write_text(f"{sorted(found['names'])} {found['count']}")
"""
FILES = {"test_a.py": "def test_a(): pass\ndef test_b(): pass\n", "test_b.py": "def test_c(): pass\n"}


def test_what_a_worker_prepares_early_is_there(project, slots):
    project.write({"conftest.py": EARLY, **FILES})
    _, ours = project.same(slots=slots)
    assert ours.read("found") == "['test_a', 'test_b', 'test_c'] 3"


@pytest.mark.parametrize("error", ["KeyError('gone')", "SystemExit(3)", "__import__('pytest').exit('no')"])
def test_a_hook_that_fails_at_the_end_of_a_child_is_a_notice(project, error):
    project.write({
        "conftest.py": f"""
            def pytest_sessionfinish(session):
                if hasattr(session.config, "workeroutput"):
                    raise {error}
        """.replace("raise __import__", "__import__"),
        **FILES,
    })  # fmt: skip
    _, ours = project.same(slots=2)
    told = [line for line in ours.notices if "pytest_sessionfinish failed at the end of a child" in line]
    assert len(told) == 1
    assert told[0].startswith("hotreload: conftest.py: ")


def test_a_rerun_withdraws_what_subtests_reported(project, slots):
    pytest.importorskip("pytest_rerunfailures", reason="pytest-rerunfailures is not installed")
    pytest.importorskip("_pytest.subtests", reason="subtests are part of pytest 9")
    project.plugins = ["pytest_rerunfailures"]
    project.write({
        "test_a.py": """
            tries = []

            def test_recovers(subtests):
                tries.append(1)
                for n in range(3):
                    with subtests.test(n=n):
                        assert n != 1 or len(tries) > 1

            def test_never(subtests):
                with subtests.test("always"):
                    assert 0
        """,
        "test_b.py": "def test_other(): pass\n",
    })  # fmt: skip
    _, ours = project.same("--reruns=1", "-v", "--junitxml=junit.xml", slots=slots)
    assert " 2 rerun in " in ours.lines[-1]


def test_what_a_plugin_puts_into_the_statistics_and_takes_out(project, slots):
    project.write({
        "conftest.py": """
            import pytest

            @pytest.hookimpl(wrapper=True, tryfirst=True)
            def pytest_runtest_protocol(item, nextitem):
                done = yield
                stats = item.config.pluginmanager.get_plugin("terminalreporter").stats
                if "flaky" in item.name:
                    failed = stats["failed"]
                    moved = [each for each in failed if each.nodeid == item.nodeid]
                    stats["failed"] = [each for each in failed if each.nodeid != item.nodeid]
                    if not stats["failed"]: del stats["failed"]
                    stats.setdefault("forgiven", []).extend(moved)
                    item.session.testsfailed -= len(moved)
                return done
        """,
        "test_a.py": "def test_flaky(): assert 0\ndef test_b(): pass\n",
        "test_b.py": "def test_c(): pass\ndef test_flaky(): assert 0\n",
    })  # fmt: skip
    plain, ours = project.both(slots=slots)
    assert (
        (ours.status, ours.lines[-1])
        == (plain.status, plain.lines[-1])
        == (
            0,
            "== 2 passed, 2 forgiven in TIME ==",
        )
    )


def test_a_test_that_died_is_in_allures_results(project, slots):
    pytest.importorskip("allure_pytest", reason="allure-pytest is not installed")
    project.plugins = ["allure_pytest"]
    project.write({
        "test_a.py": "import os\ndef test_passes(): pass\ndef test_dies(): os._exit(0)\ndef test_after(): pass\n",
    })  # fmt: skip
    ours = project.run("--alluredir=out", slots=slots)
    assert ours.status == 1
    results = [json.loads(path.read_text()) for path in (ours.root / "out").glob("*-result.json")]
    assert sorted((each["name"], each["status"]) for each in results) == [
        ("test_after", "passed"),
        ("test_dies", "broken"),
        ("test_passes", "passed"),
    ]
