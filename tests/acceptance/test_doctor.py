"""``pytest-hotreload doctor``: finds order-dependent tests and the module that each of them needs."""

from __future__ import annotations

import sys

import pytest

from . import warm
from .keeping import Kept, outcomes, reasons

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
    return command(project, "doctor", "-p", "hotreload", *arguments)


def command(project, *arguments: str) -> tuple[int, list[str]]:
    started = warm.start(
        [sys.executable, "-m", "pytest_hotreload.cli", *arguments],
        project.root("forks"),
        project._environ("forks"),
    )
    out, err = started.communicate(timeout=60)
    assert not err
    return started.wait(), out.splitlines()


@pytest.mark.slow
def test_finds_the_module(project):
    project.write(COUPLED)
    status, lines = doctor(project, "--hotreload-slots=2", "-x")
    assert lines == [
        "hotreload: running all files together",
        "hotreload: running each file alone",
        "test_a.py::test_leans passes only together with other files: it needs shop.prices",
        "test_a.py::test_leans_too passes only together with other files: it needs shop.prices",
        "hotreload: 5 tests: 2 need another file",
    ]
    assert status == 1


@pytest.mark.slow
def test_a_module_that_only_pytests_own_path_finds(project):
    """A helper beside the test files, below a folder that collection puts on the path."""
    project.write({
        "one/helper.py": "import sys\nsys.modules['decimal'].tea = 3\n",
        "one/test_one.py": "import decimal, helper\ndef test_one(): pass\n",
        "two/test_two.py": "import decimal\ndef test_two(): assert decimal.tea\n",
    })  # fmt: skip
    status, lines = doctor(project)
    assert lines[2] == "two/test_two.py::test_two passes only together with other files: it needs helper"
    assert status == 1


@pytest.mark.slow
def test_what_it_found_is_a_dependency(tmp_path):
    """Of the record of the coupled file, until doctor says otherwise; no other record changes."""
    kept = Kept(tmp_path, {**COUPLED, "test_d.py": "def test_d(): pass\n"})
    kept.run()
    kept.write({"test_b.py": "import shop.menu as menu\ndef test_b(): assert menu\n"})
    assert kept.affected() == {"test_b.py": "test_b.py"}
    assert doctor(kept.project)[0] == 1
    reruns = kept.run("--affected")
    assert set(outcomes(reruns).values()) == {"passed"}
    assert reasons(reruns) == {"test_a.py": "no record yet", "test_b.py": "test_b.py"}
    assert kept.record("test_a.py")["coupled_with"] == ["test_b.py"]
    assert [kept.record(f"test_{name}.py")["coupled_with"] for name in "bcd"] == [[], [], []]
    assert kept.affected() == {}
    plugins = [word for name in ("hotreload", "hotreload_young") for word in ("-p", name)]
    _, explained = command(kept.project, "explain", "test_a.py", *plugins)
    assert explained[-1] == "  order-dependent on: test_b.py"
    kept.write({"shop/menu.py": "from . import prices as these\n"})
    assert set(kept.affected()) == {"test_a.py", "test_b.py"}
    kept.write({"shop/menu.py": COUPLED["shop/menu.py"], "test_c.py": "def test_c(): assert True\n"})
    # Functions are recorded from Python 3.12 on.
    edited = "test_c.py:test_c" if sys.version_info >= (3, 12) else "test_c.py"
    assert kept.affected() == {"test_c.py": edited}
    kept.write({"test_b.py": None})
    assert kept.affected() == {"test_a.py": "test_b.py no longer exists", "test_c.py": edited}
    alone = kept.run("--affected")
    assert outcomes(alone)["test_a.py::test_leans"] == "failed"
    kept.write({"test_a.py": COUPLED["test_a.py"].replace("import shop", "import shop.prices")})
    kept.run()
    assert doctor(kept.project)[0] == 0
    kept.write({"test_e.py": "import shop.menu\ndef test_e(): pass\n"})
    kept.run()
    assert kept.record("test_a.py")["coupled_with"] == []


@pytest.mark.slow
def test_what_no_single_first_party_module_explains(tmp_path):
    """Then it may lean on any of the others."""
    kept = Kept(tmp_path, {
        "test_a.py": "import sys\ndef test_a(): assert sys.tea == sys.cake == 1\n",
        "test_b.py": "import sys\nsys.tea = 1\ndef test_b(): pass\n",
        "test_c.py": "import sys\nsys.cake = 1\ndef test_c(): pass\n",
    })  # fmt: skip
    assert doctor(kept.project)[1][2] == (
        "test_a.py::test_a passes only together with other files; no single module explains it"
    )
    kept.run()
    assert [kept.record(f"test_{name}.py")["coupled_with"] for name in "abc"] == [
        ["test_b.py", "test_c.py"],
        [],
        [],
    ]
    kept.write({"test_c.py": "def test_c(): pass\n"})
    assert kept.affected() == dict.fromkeys(["test_a.py", "test_c.py"], "test_c.py")


def test_finds_nothing(project):
    files = {**COUPLED, "test_a.py": "def test_a(): pass\ndef test_fails(): assert 0\n"}
    project.write(
        {**files, "pytest.ini": "[pytest]\naddopts = --reuse=on\n"}
    )  # of which doctor wants nothing
    status, lines = doctor(project)
    assert lines[2:] == ["hotreload: 4 tests: none needs another file"]
    assert status == 0


@pytest.mark.slow
def test_arguments_are_passed_through(project):
    project.write(COUPLED)
    assert doctor(project, "-k", "alone or test_b")[1][2:] == ["hotreload: 2 tests: none needs another file"]
    status, lines = doctor(project, "test_a.py", "test_c.py")
    assert lines[2:] == ["hotreload: 4 tests: none needs another file"], "it fails in this company, too"
    assert status == 0


@pytest.mark.parametrize("arguments", [["nowhere"], ["--no-such-option"], ["-k", "nothing"]])
def test_a_suite_that_does_not_run(project, arguments):
    project.write(COUPLED)
    status, lines = doctor(project, *arguments)
    pytest_status = 5 if arguments[0] == "-k" else 4
    (line,) = lines[1:]
    assert line == (
        f"hotreload: no test ran (pytest's exit status {pytest_status}); "
        "hint: run pytest with the same arguments to see why"
    )
    assert status == 2
