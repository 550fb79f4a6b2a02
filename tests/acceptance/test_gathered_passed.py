"""A plugin object that a script passes to ``pytest.main`` and reads afterwards, as neotest does."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
    import json, sys

    import pytest

    class Collector:
        def __init__(self):
            self.results, self.longest = {}, ("", 0)

        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(self, item, call):
            outcome = yield
            report = outcome.get_result()
            if report.when == "call":
                error = call.excinfo.typename if call.excinfo else None
                self.results[item.nodeid] = [report.outcome, error, len(report.sections)]

    collector = Collector()
    status = pytest.main(sys.argv[1:], plugins=[collector])
    print("RESULTS", int(status), json.dumps(collector.results))
"""
PROJECT = {
    "runner.py": SCRIPT,
    "test_a.py": "def test_one(): print('said')\ndef test_two(): raise KeyError(1)\n",
    "test_b.py": "def test_three(): assert 0\n",
}


def results(project, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "runner.py", *args],
        cwd=project.root("forks"),
        env={**project._environ("forks"), "PYTEST_ADDOPTS": "-p hotreload -p no:cacheprovider"},
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULTS")]
    return line


@pytest.mark.parametrize("how", [[], ["--hotreload-isolate=test"], ["--hotreload-isolate=worker"]])
def test_results_that_a_script_reads(project, slots, how):
    project.write(PROJECT)
    found = results(project, "--hotreload", f"--hotreload-slots={slots}", *how)
    assert found == results(project)
    assert found == (
        'RESULTS 1 {"test_a.py::test_one": ["passed", null, 1], '
        '"test_a.py::test_two": ["failed", "KeyError", 0], "test_b.py::test_three": ["failed", "AssertionError", 0]}'
    )
