"""Every way in which pytest shows the same run."""

from __future__ import annotations

import re

import pytest

from . import sample

STYLES = [
    "",
    "-vv",
    "-q",
    "-qq",
    "-rA",
    "-ra",
    "--tb=short",
    "--tb=line",
    "--tb=no",
    "--tb=native",
    "--no-header --no-summary",
    "--color=yes -v",
    "-o console_output_style=classic",
    "-o console_output_style=count",
    "--showlocals",
    "--xfail-tb -rx",
    "--show-capture=stdout",
    "--assert=plain",
    "--import-mode=importlib -p no:cacheprovider",
    "--capture=sys",
    "--capture=tee-sys -v",
    "--runxfail",
    "-o verbosity_test_cases=2 -o verbosity_assertions=2",
    "-p no:logging",
    "-p no:terminalreporter",
]


@pytest.mark.parametrize("style", STYLES)
def test_looks_like_plain_pytest(project, style):
    project.write(sample.FILES)
    _, ours = project.same(*style.split())
    if style != "--runxfail":
        assert ours.outcomes == sample.OUTCOMES
    assert ours.status == 1


@pytest.mark.parametrize("style", ["", "-v --color=yes"])
def test_looks_like_plain_pytest_with_one_slot(project, style):
    project.write(sample.FILES)
    _, ours = project.same(*style.split(), slots=1)
    assert ours.outcomes == sample.OUTCOMES
    assert ours.status == 1


@pytest.mark.parametrize("isolate", ["test", "worker"])
def test_looks_like_plain_pytest_whatever_shares_a_process(project, slots, isolate):
    project.write({name: text for name, text in sample.FILES.items() if name not in _WIDE})
    _, ours = project.same("-v", slots=slots, extra=[f"--hotreload-isolate={isolate}"])
    assert ours.outcomes == {
        nodeid: each for nodeid, each in sample.OUTCOMES.items() if nodeid.partition("::")[0] not in _WIDE
    }


#: Fixtures of these span tests or files: what is shared shows in when they are torn down.
_WIDE = ("sub/test_deeper.py", "sub/test_wide.py")


def test_durations_name_the_same_tests(project):
    project.write(
        {
            "test_slow.py": "import time\ndef test_slow(): time.sleep(0.3)\ndef test_fast(): pass\n",
            "test_other.py": "import time\ndef test_other(): time.sleep(0.15)\n",
        }
    )
    plain, ours = project.both("--durations=2", "--durations-min=0.1", slots=2)
    assert ours.lines == plain.lines
    assert re.findall(r"^TIME .*", ours.output, re.MULTILINE) == [
        "TIME call     test_slow.py::test_slow",
        "TIME call     test_other.py::test_other",
    ]


def test_times_style_names_the_same_tests(project):
    project.write({"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): assert 0\n"})
    plain, ours = project.both("-v", "-o", "console_output_style=times", slots=2)
    seconds = re.compile(r"\s+[\d.]+(us|ms|s)$")
    assert [seconds.sub("", line) for line in ours.lines] == [seconds.sub("", line) for line in plain.lines]
    assert "test_b.py::test_b FAILED" in [seconds.sub("", line).strip() for line in ours.lines]


def test_narrow_terminal_wraps_alike(project):
    project.environ["COLUMNS"] = "30"
    project.write({f"test_{n}.py": "def test_a(): pass\n" * 1 for n in "abc"})
    project.write(
        {
            "test_many.py": "import pytest\n@pytest.mark.parametrize('n', range(70))\ndef test_many(n): assert n % 9\n"
        }
    )
    _, ours = project.same("--tb=no")
    assert sum(each[1] == ("call", "failed") for each in ours.outcomes.values()) == 8
