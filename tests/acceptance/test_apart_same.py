"""Self-collecting children, in forks of the template and in new interpreters, have plain pytest's results."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from .compare import assert_same
from .sample import FILES, OUTCOMES

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
HOW = {"strict": "--hotreload-isolate=strict", "spawn": "--hotreload-start=spawn"}


@pytest.fixture(params=list(HOW))
def how(request):
    """How the children of a run start."""
    return HOW[request.param]


@pytest.mark.slow
def test_every_outcome_in_full(project, slots, how):
    project.write(FILES)
    _, ours = project.same("-v", "-ra", slots=slots, extra=[how])
    assert ours.outcomes == OUTCOMES


ORDINARY = {
    "conftest.py": """\
        import os
        import pytest

        def note(text):
            with open(os.path.join(os.path.dirname(__file__), "calls.txt"), "a") as file:
                file.write(text + "\\n")

        @pytest.fixture(scope="session")
        def base():
            note("session up")
            yield ["base"]
            note("session down")

        @pytest.fixture(scope="package")
        def packed(base):
            return [*base, "package"]
        """,
    **{
        f"{folder}/{name}": text
        for folder in ("one", "two")
        for name, text in {
            "__init__.py": "",
            "helper.py": f"WHERE = {folder!r}\n",
            "conftest.py": """\
                import warnings
                import pytest
                from .helper import WHERE

                @pytest.fixture(scope="class")
                def wide(packed):
                    return [*packed, WHERE]

                @pytest.fixture
                def warns():
                    warnings.warn("from the fixture of " + WHERE)
                """,
            "test_same_name.py": f"""\
                import logging, sys, warnings
                import pytest
                from .helper import WHERE

                class TestWide:
                    seen = []

                    def test_first(self, wide):
                        self.seen.append(1)
                        assert wide == ["base", "package", {folder!r}]

                    def test_second(self, wide, warns):
                        assert self.seen == [1]
                        print("on out"); print("on err", file=sys.stderr)
                        logging.warning("logged %s", WHERE)
                        warnings.warn(DeprecationWarning("from the test"))
                        assert wide == WHERE

                @pytest.mark.parametrize("text", ["plain", "\\u00e9", "[x]::y", "", "a b"])
                @pytest.mark.parametrize("number", [1, 2.5])
                def test_params(text, number, tmp_path):
                    (tmp_path / "kept").write_text(text)

                @pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="part of pytest 9")
                def test_subtests(request):
                    subtests = request.getfixturevalue("subtests")
                    for number in range(3):
                        with subtests.test("numbers", number=number):
                            assert number != 1

                def test_properties(record_property, record_testsuite_property):
                    record_property("key", WHERE)
                    record_testsuite_property("suite", 1)
                """,
        }.items()
    },
    "test_top.py": "def test_top(base): assert base == ['base']\n",
}


@pytest.mark.parametrize(
    "options",
    [
        ["-v", "--junit-xml=junit.xml"],
        ["-k", "params and plain or second", "-rA"],
        ["two/test_same_name.py::TestWide::test_second", "one/test_same_name.py", "test_top.py"],
        ["--tb=short", "--log-file=log.txt", "--log-cli-level=INFO"],
        ["--import-mode=importlib", "-W", "ignore::UserWarning", "-q"],
    ],
    ids=["junit", "k", "ids", "log-file", "importlib"],
)
def test_ordinary_suite(project, slots, how, options):
    project.write(ORDINARY)
    plain, ours = project.same(*options, slots=slots, extra=[how])
    assert ours.status == 1
    if "--junit-xml=junit.xml" in options:
        assert _untimed(ours.read("junit.xml")) == _untimed(plain.read("junit.xml"))
    if "--log-file=log.txt" in options:
        assert ours.read("log.txt").splitlines() == plain.read("log.txt").splitlines()


def _untimed(text: str) -> str:
    return re.sub(r'(time|timestamp|hostname)="[^"]*"', r'\1=""', text)


@pytest.mark.slow
def test_last_failed_is_the_controllers(project, how):
    project.write(ORDINARY)
    first = project.both(slots=2, extra=[how])
    assert_same(*first)
    _, second = project.same("--lf", "-v", slots=2, extra=[how])
    assert second.status == 1
    assert "test_top.py::test_top" not in second.outcomes
    project.same("--ff", "-x", slots=2, extra=[how])
    project.same("--sw", slots=2, extra=[how])
    project.same("--maxfail=2", "-v", slots=1, extra=[how])


def test_coverage(project, how):
    pytest.importorskip("pytest_cov", reason="pytest-cov is not installed")
    project.plugins = ["pytest_cov"]
    project.write(
        {
            ".coveragerc": "[run]\nbranch = true\n",
            "shop.py": "def price(n):\n    if n > 1:\n        return 2\n    return 1\n\ndef never():\n    return 0\n",
            "test_a.py": "from shop import price\ndef test_a(): assert price(2) == 2\n",
            "test_b.py": "from shop import price\ndef test_b(): assert price(1) == 1\n",
        }
    )
    _, ours = project.same("--cov=.", "--cov-report=term-missing", slots=2, extra=[how])
    assert ours.status == 0


def test_what_needs_company_fails_alone(project, how):
    """``spawn`` collects each file by itself as well: where forks are missing there is no company."""
    project.write(
        {
            "registry.py": "known = []\n",
            "test_a.py": "import registry\nregistry.known.append('a')\ndef test_a(): pass\n",
            "test_b.py": "import registry\ndef test_b(): assert registry.known == ['a']\ndef test_c(): pass\n",
        }
    )
    project.same(slots=1)
    ours = project.run(how, slots=1)
    assert ours.status == 1
    assert ours.outcomes == {
        "test_a.py::test_a": PASSED,
        "test_b.py::test_b": [("setup", "passed"), ("call", "failed"), ("teardown", "passed")],
        "test_b.py::test_c": PASSED,
    }


MISSING = [("setup", "failed")]


def test_file_that_can_not_be_collected_alone(project, slots, how):
    project.write(
        {
            "test_a.py": "import sys, types\nsys.modules['made_up'] = types.ModuleType('made_up')\ndef test_a(): pass\n",  # noqa: E501
            "test_b.py": "import made_up\ndef test_b(): pass\ndef test_c(): pass\n",
            "test_d.py": "def test_d(): pass\n",
        }
    )
    ours = project.run(how, slots=slots)
    assert ours.status == 1
    assert ours.outcomes == {
        "test_a.py::test_a": PASSED,
        "test_b.py::test_b": MISSING,
        "test_b.py::test_c": MISSING,
        "test_d.py::test_d": PASSED,
    }
    assert ours.output.count("ModuleNotFoundError: No module named 'made_up'") == 2
    assert "2 passed, 2 errors" in ours.lines[-1]


def test_tests_that_are_not_found_alone(project, how):
    project.write(
        {
            "test_a.py": "import sys\nsys.argv.append('a')\ndef test_a(): pass\n",
            "test_b.py": "import sys, pytest\n@pytest.mark.parametrize('n', [1] + ['a' in sys.argv] * ('a' in sys.argv))\n"  # noqa: E501
            "def test_b(n): pass\n",
        }
    )
    ours = project.run(how, slots=1)
    assert ours.status == 1
    assert ours.outcomes == {
        "test_a.py::test_a": PASSED,
        "test_b.py::test_b[1]": PASSED,
        "test_b.py::test_b[True]": MISSING,
    }
    assert "is not found when its file is collected alone" in ours.output


@pytest.mark.parametrize("death", ["os._exit(0)", "os._exit(3)", "os.kill(os.getpid(), signal.SIGSEGV)"])
def test_death_in_a_child(project, how, death):
    project.write(
        {
            "test_a.py": f"""\
                import os, signal
                def test_before(): pass
                def test_dies():
                    print("last words", flush=True)
                    {death}
                def test_after(): pass
                """,
            "test_b.py": "def test_b(): pass\n",
        }
    )
    ours = project.run(how, slots=2)
    assert ours.status == 1
    assert ours.outcomes == {
        "test_a.py::test_before": PASSED,
        "test_a.py::test_dies": [("call", "failed")],
        "test_a.py::test_after": PASSED,
        "test_b.py::test_b": PASSED,
    }
    what = "SIGSEGV" if "SIGSEGV" in death else f"exit status {death[-2]}"
    assert what in ours.output
    assert "last words" in ours.output


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise RuntimeError('only here')", "RuntimeError: only here"),
        ("sys.exit(4)", "SystemExit: 4"),
        ("def pytest_configure(config): raise RuntimeError('only here')", "RuntimeError: only here"),
        ("def pytest_sessionstart(session): raise RuntimeError('only here')", "RuntimeError: only here"),
        ("def pytest_sessionstart(session): pytest.exit('only here')", "only here"),
        ("os._exit(5)", "exit status 5"),
    ],
    ids=["raises", "exits", "configure", "sessionstart", "pytest-exit", "os-exit"],
)
def test_conftest_that_fails_in_the_child_only(project, how, text, why):
    project.write(
        {
            "conftest.py": f"""\
                import os, pathlib, sys, pytest

                mark = pathlib.Path(__file__).with_name("seen")
                if mark.exists():
                    {text}
                mark.write_text("")
                """,
            "test_a.py": "def test_a(): pass\ndef test_b(): pass\n",
        }
    )
    ours = project.run(how, slots=1)
    assert ours.status == 1
    assert set(ours.outcomes) == {"test_a.py::test_a", "test_a.py::test_b"}
    when = "call" if "os._exit" in text else "setup"
    assert all(each == [(when, "failed")] for each in ours.outcomes.values())
    assert why in ours.output


def test_what_a_script_printed_before(project, slots):
    """A script that calls ``pytest.main`` may have printed into a buffer, which forks must not print again."""
    project.write({
        "runner.py": "import sys, pytest\nprint('printed by the script')\nsys.exit(pytest.main(sys.argv[1:]))\n",
        "test_a.py": "def test_a(): pass\n",
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    words = ["-p", "hotreload", "--hotreload", f"--hotreload-slots={slots}", "--hotreload-isolate=strict"]
    done = subprocess.run(
        [sys.executable, "runner.py", *words],
        cwd=project.root("forks"),
        env={**project._environ("forks"), "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.count("printed by the script") == 1
