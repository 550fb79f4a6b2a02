"""``--hotreload-quiet``, and ``-q``: only warnings of ours."""

from __future__ import annotations

import pytest

QUIET = ["--hotreload-quiet", "-q"]
FILES = {
    "test_a.py": "def test_a(): pass\n",
    "test_b.py": "def test_b(): pass\n",
}
LEAVES = """
    import subprocess, sys
    def test_leaves(): subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=-3, stderr=-3)
"""


@pytest.mark.parametrize("option", QUIET)
@pytest.mark.parametrize(
    "words", [[], ["--affected"], ["--reuse=on"], ["--shard=1/1"], ["--hotreload-report=run.html"]]
)
def test_nothing_of_ours(project, slots, option, words):
    project.write(FILES)
    project.run(slots=slots)
    ours = project.run(option, *words, slots=slots)
    assert ours.status == 0
    assert ours.notices == []
    assert not [line for line in ours.lines if "hotreload" in line and "plugins:" not in line]


@pytest.mark.parametrize("option", QUIET)
def test_what_takes_turns(project, option):
    """That files take turns is no warning."""
    project.write({**FILES, "pytest.ini": "[pytest]\nhotreload_serial = database -> test_*.py\n"})
    assert any("only one of them runs at a time" in line for line in project.run(slots=2).notices)
    assert project.run(option, slots=2).notices == []


@pytest.mark.parametrize("option", QUIET)
def test_warnings(project, slots, option):
    project.write({**FILES, "test_c.py": LEAVES})
    (line,) = project.run(option, slots=slots).notices
    assert line.startswith("hotreload: test_c.py left 1 process behind; killed: ")


@pytest.mark.parametrize("option", QUIET)
def test_plain_pytest_takes_over(project, slots, option):
    pytest.importorskip("pytest_benchmark")
    project.plugins = ["pytest_benchmark.plugin"]
    project.write({"test_a.py": "def test_a(benchmark): benchmark(len, '')\n"})
    (line,) = project.run(option, slots=slots).notices
    assert line.startswith("hotreload: plain pytest runs this suite, without children: ")
