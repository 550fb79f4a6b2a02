"""Syntax that the Rust parser does not know: what it means is read by the interpreter, and edits count as a whole."""

from __future__ import annotations

import sys

import pytest

from .compare import Project
from .keeping import Kept, outcomes

#: Name -> the Python that has it first, a function `value` of a module with it, and an edit of another function.
NEWER = {
    "f-string": ((3, 12), 'NAME = "a"\n\ndef value():\n    return len(f"{f"{NAME}"}")\n'),
    "t-string": ((3, 14), 'NAME = "a"\n\ndef value():\n    return len(t"{NAME}".interpolations)\n'),
    "except": ((3, 14), "def value():\n    try:\n        {}[1]\n    except OSError, KeyError:\n        return 1\n"),
    "unpacking": ((3, 15), "def value():\n    return len({**one for one in [{1: 1}]})\n"),
    "lazy import": ((3, 15), "lazy from helper import one\nlazy import json.tool\n\ndef value():\n    return one()\n"),
}  # fmt: skip
BEHIND = "\n\ndef other():\n    return 2\n"


@pytest.fixture(params=NEWER)
def files(request):
    since, source = NEWER[request.param]
    if sys.version_info < since:
        pytest.skip(f"syntax of Python {since[0]}.{since[1]}")
    return {
        "part.py": source + BEHIND,
        "helper.py": "def one():\n    return 1\n",
        "test_a.py": "import part\n\ndef test_a():\n    assert part.value() == 1\n",
        "test_b.py": f"{source}\n\ndef test_b():\n    assert value() == 1\n",
    }


@pytest.mark.parametrize("how", ["", "--hotreload-isolate=strict", "--hotreload-start=spawn"])
def test_it_runs_as_in_plain_pytest(tmp_path, files, how):
    project = Project(tmp_path)
    project.write({"pytest.ini": "[pytest]\n", **files})
    project.same("-v", slots=2, extra=how.split())


def test_an_edit_counts_as_a_whole(tmp_path, files):
    kept = Kept(tmp_path, files)
    kept.run("--hotreload-isolate=strict")
    assert kept.affected() == {}
    kept.edit("part.py", "return 2", "return 3")
    assert kept.affected() == {"test_a.py": "part.py ← test_a.py"}
    kept.run()
    kept.edit("test_b.py", "== 1", "== 2")
    assert outcomes(kept.run("--affected")) == {"test_b.py::test_b": "failed"}


@pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are of Python 3.15")
def test_what_a_lazy_import_loads_is_what_the_test_depends_on(tmp_path):
    kept = Kept(tmp_path, {
        "helper.py": "VALUE = 1\n",
        "missing.py": "lazy import absent\n",
        "part.py": "lazy import helper\n\ndef value():\n    return helper.VALUE\n",
        "test_a.py": "import part\n\ndef test_a():\n    assert part.value() == 1\n",
        "test_b.py": "import part\n\ndef test_b():\n    assert part\n",
        "test_c.py": """\
            import pytest, missing

            def test_c():
                with pytest.raises(ImportError):
                    missing.absent.VALUE
            """,
    })  # fmt: skip
    assert set(outcomes(kept.run()).values()) == {"passed"}
    kept.edit("helper.py", "1", "2")
    assert outcomes(kept.run("--affected"))["test_a.py::test_a"] == "failed"
    kept.write({"absent.py": "VALUE = 1\n"})
    assert outcomes(kept.run("--affected"))["test_c.py::test_c"] == "failed"
