"""``pytest-hotreload doctor``: finds tests that pass in company only, and the module that they lean on."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUPLED = {
    "conftest.py": "",
    "shop/__init__.py": "",
    "shop/prices.py": "TEA = 3\n",
    "shop/menu.py": "from . import prices\n",
    "test_a.py": """
        import shop

        def test_alone(): pass
        def test_leans(): assert shop.prices.TEA == 3
        def test_leans_too(): assert shop.prices
    """,
    "test_b.py": "import shop.menu\ndef test_b(): assert shop.menu\n",
    "test_c.py": "def test_c(): pass\n",
}


def doctor(project, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_hotreload.cli", "doctor", "-p", "hotreload", *arguments],
        cwd=project.root("forks"),
        env=project._environ("forks"),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_finds_the_module(project):
    project.write(COUPLED)
    status, lines = doctor(project, "--hotreload-slots=2", "-x")
    assert lines == [
        "hotreload: running all files in company",
        "hotreload: running each file alone",
        "test_a.py::test_leans passes only in company: it leans on shop.prices",
        "test_a.py::test_leans_too passes only in company: it leans on shop.prices",
        "hotreload: 5 tests: 2 lean on another file",
    ]
    assert status == 1


def test_a_module_that_only_pytests_own_path_finds(project):
    """A helper beside the test files, below a folder that collection puts on the path."""
    project.write({
        "one/helper.py": "import sys\nsys.modules['decimal'].tea = 3\n",
        "one/test_one.py": "import decimal, helper\ndef test_one(): pass\n",
        "two/test_two.py": "import decimal\ndef test_two(): assert decimal.tea\n",
    })  # fmt: skip
    status, lines = doctor(project)
    assert lines[2] == "two/test_two.py::test_two passes only in company: it leans on helper"
    assert status == 1


def test_finds_nothing(project):
    project.write({**COUPLED, "test_a.py": "def test_a(): pass\ndef test_fails(): assert 0\n"})
    status, lines = doctor(project)
    assert lines[2:] == ["hotreload: 4 tests: none leans on another file"]
    assert status == 0


def test_arguments_are_passed_through(project):
    project.write(COUPLED)
    assert doctor(project, "-k", "alone or test_b")[1][2:] == [
        "hotreload: 2 tests: none leans on another file"
    ]
    status, lines = doctor(project, "test_a.py", "test_c.py")
    assert lines[2:] == ["hotreload: 4 tests: none leans on another file"], "it fails in this company, too"
    assert status == 0


@pytest.mark.parametrize("arguments", [["nowhere"], ["--no-such-option"], ["-k", "nothing"]])
def test_a_suite_that_does_not_run(project, arguments):
    project.write(COUPLED)
    status, lines = doctor(project, *arguments)
    pytest_status = 5 if arguments[0] == "-k" else 4
    assert lines[1:] == [
        f"hotreload: no test ran (pytest's exit status {pytest_status}); hint: run pytest with the same arguments"
    ]
    assert status == 2
