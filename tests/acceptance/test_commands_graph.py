"""``pytest-hotreload graph``: the first-party files that a test file imports, with their importers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .commands import Said, say

SHOP = {
    "pytest.ini": "[pytest]\npythonpath = src\naddopts = --strict-markers\n",
    "conftest.py": "print('loud')\nimport helper\n",
    "src/helper.py": "import json\n",
    "src/pay/__init__.py": "",
    "src/pay/api.py": "from . import card\nfrom .bank import swift\ndef f():\n    import helper, pygments.styles.vim\n",
    "src/pay/card.py": "import pluggy\nfrom . import api\n",
    "src/pay/bank/swift.py": "",
    "tests/test_a.py": "import pytest\nfrom pay import api\nimport helper\n",
}


def graph(project, *arguments: str, **how: str) -> Said:
    return say(project, "pytest-hotreload", "graph", *arguments, **how)


@pytest.fixture
def shop(project):
    project.environ["PYTEST_ADDOPTS"] = "-p hotreload"
    project.write(SHOP)
    return project


def test_a_tree(shop):
    assert graph(shop, "tests/test_a.py") == (
        0,
        [
            "tests/test_a.py",
            "  src/pay/__init__.py",
            "  src/pay/api.py",
            "    src/pay/card.py",
            "      src/pay/api.py …",
            "    src/pay/bank/swift.py",
            "    src/helper.py",
            "  src/helper.py …",
            "conftest.py",
            "  src/helper.py …",
        ],
        [],
    )


def test_dot(shop):
    assert graph(shop, "tests/test_a.py", "--dot").lines == [
        'digraph "tests/test_a.py" {',
        '  "conftest.py";',
        '  "src/helper.py";',
        '  "src/pay/__init__.py";',
        '  "src/pay/api.py";',
        '  "src/pay/bank/swift.py";',
        '  "src/pay/card.py";',
        '  "tests/test_a.py";',
        '  "conftest.py" -> "src/helper.py";',
        '  "src/pay/api.py" -> "src/helper.py";',
        '  "src/pay/api.py" -> "src/pay/bank/swift.py";',
        '  "src/pay/api.py" -> "src/pay/card.py";',
        '  "src/pay/card.py" -> "src/pay/api.py";',
        '  "tests/test_a.py" -> "src/helper.py";',
        '  "tests/test_a.py" -> "src/pay/__init__.py";',
        '  "tests/test_a.py" -> "src/pay/api.py";',
        "}",
    ]


def test_json(shop):
    said = graph(shop, "--json", "test_a.py", cwd="tests")
    assert json.loads("\n".join(said.lines)) == {
        "file": "tests/test_a.py",
        "files": [
            "conftest.py",
            "src/helper.py",
            "src/pay/__init__.py",
            "src/pay/api.py",
            "src/pay/bank/swift.py",
            "src/pay/card.py",
            "tests/test_a.py",
        ],
        "links": [
            ["conftest.py", "src/helper.py"],
            ["src/pay/api.py", "src/helper.py"],
            ["src/pay/api.py", "src/pay/bank/swift.py"],
            ["src/pay/api.py", "src/pay/card.py"],
            ["src/pay/card.py", "src/pay/api.py"],
            ["tests/test_a.py", "src/helper.py"],
            ["tests/test_a.py", "src/pay/__init__.py"],
            ["tests/test_a.py", "src/pay/api.py"],
        ],
        "third_party": {"at import": ["pluggy", "pytest"], "later": ["pygments.styles.vim"]},
    }
    assert list(json.loads("\n".join(said.lines))) == ["file", "files", "links", "third_party"]


def test_names_of_any_kind(shop):
    name = 'test_"quoted" \\ é'
    shop.write({f"tests/{name}.py": ""})
    assert (
        graph(shop, f"tests/{name}.py", "--dot").lines[0] == 'digraph "tests/test_\\"quoted\\" \\\\ é.py" {'
    )
    raw = "test_\udcff.py"
    (shop.root("forks") / "tests" / raw).write_text("")
    said = say(shop, "pytest-hotreload", "graph", f"tests/{raw}", "--json")
    assert json.loads("\n".join(said.lines))["file"] == f"tests/{raw}"


def test_a_long_chain(project):
    project.write({
        **{f"m{number}.py": f"import m{number + 1}\n" for number in range(1500)},
        "m1500.py": "",
        "test_a.py": "import m0\n",
    })  # fmt: skip
    lines = graph(project, "test_a.py").lines
    assert lines == ["test_a.py", *("  " * (number + 1) + f"m{number}.py" for number in range(1501))]


def test_a_reader_that_has_enough(project):
    imports = "".join(f"import m{number}\n" for number in range(3000))
    project.write({**{f"m{number}.py": "" for number in range(3000)}, "test_a.py": imports})
    command = [sys.executable, "-m", "pytest_hotreload.cli", "graph", "test_a.py", "--json"]
    process = subprocess.Popen(
        command,
        cwd=project.root("forks"),
        env=project._environ("forks"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 1


def test_nothing_is_made(shop):
    root = shop.root("forks")
    before = sorted(root.rglob("*"))
    graph(shop, "tests/test_a.py", PYTHONDONTWRITEBYTECODE="1")
    assert sorted(root.rglob("*")) == before


def test_a_file_that_is_no_python(shop):
    shop.write({"tests/test_b.py": "import helper\ndef (\n"})
    assert graph(shop, "tests/test_b.py") == (
        0,
        ["tests/test_b.py", "conftest.py", "  src/helper.py"],
        ["tests/test_b.py:2: SyntaxError: invalid syntax"],
    )


@pytest.mark.parametrize("path", ["nowhere.py", "tests", "pytest.ini", "tests/test_a.py::test_a"])
def test_a_path_that_is_no_test_file(shop, path):
    assert graph(shop, path) == (
        2,
        [],
        [f"hotreload: {path} is not a Python file; hint: name a test file"],
    )


def test_usage(shop):
    said = graph(shop, "--dot")
    assert said.errors == [
        "usage: pytest-hotreload graph PATH [--dot | --json] [arguments of pytest]",
        "pytest-hotreload graph: error: PATH is missing; put it before the arguments of pytest",
    ]
    assert (said.status, said.lines) == (2, [])
    said = graph(shop, "tests/test_a.py", "--no-such-option")
    assert said.errors[1].endswith("error: unrecognized arguments: --no-such-option")
    assert (said.status, said.lines) == (4, ["loud"])
