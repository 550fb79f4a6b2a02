"""Code of the project that runs without an import: programs that start pytest, ``exec`` and ``runpy``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from .keeping import Kept, outcomes

CALL = "sys.exit(pytest.main(sys.argv[1:]))"
#: Files of the program, and how it is started.
PROGRAMS = {
    "a script": ({"run.py": f"import sys, pytest\n{CALL}\n"}, ["run.py"]),
    "a function of a script": (
        {"run.py": f"import sys, pytest\ndef main(): {CALL}\nif __name__ == '__main__': main()\n"},
        ["run.py"],
    ),
    "a script in a folder": ({"tools/run.py": f"import sys, pytest\n{CALL}\n"}, ["tools/run.py"]),
    "a module": (
        {"tools/__init__.py": "", "tools/run.py": f"import sys, pytest\n{CALL}\n"},
        ["-m", "tools.run"],
    ),
    "a package": (
        {"tools/__init__.py": "", "tools/__main__.py": "from .run import main\nmain()\n", "tools/run.py":
         f"import sys, pytest\ndef main(): {CALL}\n"},
        ["-m", "tools"],
    ),
}  # fmt: skip
FILES = {
    "data.txt": "1",
    "test_a.py": "def test_a(): pass\n",
    "test_b.py": "import conftest\ndef test_b(): assert conftest.VALUE == 1\n",
}
#: The root conftest: where it reads what test_b goes by, and perhaps another file.
READS = {
    "in its body": ("VALUE = int(open('data.txt').read())", {}),
    "in a hook": (
        "def pytest_collection_modifyitems():\n    global VALUE\n    VALUE = int(open('data.txt').read())",
        {},
    ),
    "by exec": (
        "exec(compile(open('reads.py').read(), __file__.replace('conftest', 'reads'), 'exec'))",
        {"reads.py": "VALUE = int(open('data.txt').read())\n"},
    ),
    "by runpy": (
        "import runpy\nVALUE = runpy.run_path('reads.py')['VALUE']",
        {"reads.py": "VALUE = int(open('data.txt').read())\n"},
    ),
}


def edited(kept):
    assert kept.run().status == 0
    assert kept.affected() == {}
    kept.write({"data.txt": "2"})
    assert kept.affected().keys() >= {"test_b.py"}
    assert outcomes(kept.run("--affected"))["test_b.py::test_b"] == "failed"


@pytest.mark.parametrize("reads", READS)
def test_what_a_conftest_reads(tmp_path, reads):
    code, files = READS[reads]
    edited(Kept(tmp_path, {**FILES, **files, "conftest.py": code + "\n"}))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_starts_pytest(tmp_path, program):
    """What a hook of one folder's conftest reads is everybody's, whoever started pytest."""
    files, start = PROGRAMS[program]
    kept = Kept(tmp_path, {
        **files,
        "data.txt": "1",
        "test_a.py": "def test_a(): pass\n",
        "sub/conftest.py": READS["in a hook"][0] + "\n",
        "sub/test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    command = kept.project.command

    def started(args: Sequence[str], slots: int | None) -> list[str]:
        return [sys.executable, *start, *command(args, slots)[3:]]

    kept.project.command = started  # type: ignore[method-assign]
    assert kept.run().status == 0
    assert kept.affected() == {}
    kept.write({"data.txt": "2"})
    assert kept.affected().keys() == {"test_a.py", "sub/test_b.py"}
