"""Inputs that one file reads and others use, in a watch and in runs of a server: as with ``--affected``."""

from __future__ import annotations

from pathlib import Path

import pytest

from .serving import Place
from .watching import Watching, write

MEMO = (
    "import functools\nfrom pathlib import Path\n@functools.lru_cache\n"
    "def load(name): return Path(__file__).with_name(name).read_text().strip()\n"
)
LINK = "import os\ndef test_link(): assert os.readlink('link') == 'one.txt'\n"
FORKED = """\
import os
def test_forked():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, open('forked.txt').read().encode())
        os._exit(0)
    os.wait()
    assert os.read(reader, 9) == b'1'
"""
FILES = {
    "pytest.ini": "[pytest]\npythonpath = . ../beside\n",
    "../beside/common/__init__.py": "from .text import shout\n",
    "../beside/common/text.py": "def shout(text): return text.upper()\n",
    "conftest.py": "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'third'))\n",
    "../third/apart.py": "from apart_more import VALUE\n",
    "../third/apart_more.py": "VALUE = 1\n",
    "memo.py": MEMO,
    "one.txt": "1",
    "two.txt": "1",
    "forked.txt": "1",
    "test_memo_1.py": "import memo\nTEXT = memo.load('one.txt')\ndef test_it(): assert TEXT == '1'\n",
    "test_memo_2.py": "import memo\nTEXT = memo.load('one.txt')\ndef test_it(): assert TEXT == '1'\n",
    "test_memo_3.py": "import memo\ndef test_it(): assert memo.load('one.txt') == '1'\n",
    "test_beside.py": "from common import shout\ndef test_beside(): assert shout('x') == 'X'\n",
    "test_third.py": "import apart\ndef test_third(): assert apart.VALUE == 1\n",
    "test_spec.py": "import importlib.util\ndef test_spec(): assert importlib.util.find_spec('extra') is None\n",
    "test_link.py": LINK,
    "test_forked.py": FORKED,
    "test_other.py": "def test_other(): pass\n",
}
MEMO_FAILS = {f"test_memo_{number}.py::test_it" for number in (1, 2, 3)}
#: What is written, and what fails then.
EDITS: list[tuple[dict[str, str], set[str]]] = [
    ({"one.txt": "2"}, MEMO_FAILS),
    ({"../beside/common/text.py": "def shout(text): return text.lower()\n"}, {"test_beside.py::test_beside"}),
    ({"../third/apart_more.py": "VALUE = 2\n"}, {"test_third.py::test_third"}),
    ({"extra.py": ""}, {"test_spec.py::test_spec"}),
    ({"forked.txt": "2"}, {"test_forked.py::test_forked"}),
]


def made(top: Path) -> None:
    write(top / "project", FILES)
    (top / "project/link").symlink_to("one.txt")


def relink(top: Path) -> None:
    new = top / "project/new"
    new.symlink_to("two.txt")
    new.replace(top / "project/link")


@pytest.mark.slow
def test_a_watch_runs_who_uses_it(tmp_path: Path) -> None:
    made(tmp_path)
    with Watching(tmp_path) as watching:
        assert watching.shown().status == "PASS 9 passed"
        failing: set[str] = set()
        for edit, fails in EDITS:
            shown = watching.after(edit)
            assert {test for test, how in shown.ran.items() if how == "failed"} - failing == fails, shown.text
            assert "test_other.py" not in shown.files
            failing |= fails
        relink(tmp_path)
        assert watching.shown().ran["test_link.py::test_link"] == "failed"
        assert watching.end() == 1


@pytest.mark.parametrize("option", ["--affected", "--reuse=on"])
def test_a_run_of_a_server_runs_who_uses_it(tmp_path: Path, option: str) -> None:
    made(tmp_path)
    with Place(tmp_path, {"pytest.ini": FILES["pytest.ini"]}) as place:
        # Edits follow runs at once: the margin of 2 s is 30 ms, and no bytecode is written.
        place.environ["PYTHONPATH"] = str(Path(__file__).with_name("recorder"))
        place.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        place.environ["PYTEST_ADDOPTS"] += " -p hotreload_young"
        place.serve()
        arguments = ("run", "-p", "no:randomly", "--hotreload-slots=1", option, "-rA")
        assert place.say(*arguments).status == 0
        relink(tmp_path)
        write(place.root, {name: text for edit, _ in EDITS for name, text in edit.items()})
        said = place.say(*arguments)
        failed = {line.split()[1] for line in said.out.splitlines() if line.startswith("FAILED ")}
        assert failed == {"test_link.py::test_link"}.union(*(fails for _, fails in EDITS)), said
