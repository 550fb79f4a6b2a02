"""What two children imported, the fork point imports, and later children adopt it where they ask for it."""

from __future__ import annotations

import pytest

from .asking import ASKING
from .serving import Place
from .watching import Watching, write

SITE = ["../../lib/site-packages"]
#: In the process where the module was imported: the fork point's, if a child adopted it.
_PLACE = "\nimport os\nPID = os.getpid()\n"
#: The kind whose answer leads to the project, so that only the children may import the module.
_OF_THE_PROJECT = "first-party module beside the tests"
#: The kind whose module writes a variable: the write counts as a read of the new value, which no child has before.
_WRITES = "variable of a module"
_MODES = {"folder": "project", _WRITES: "setter", _OF_THE_PROJECT: "found"}
_MODES |= {"shadowed module": "installed", "stand-in": "installed"}

#: Each file asks for the module while its test runs; the first two teach the fork point.
_LAZY = "def test_it():\n    import asking\n    assert asking.MODE == {mode!r}\n"
_ADOPTS = _LAZY + "    import os\n    assert (asking.PID == os.getpid()) is {own}\n"
_DOES_NOT_ASK = "def test_it():\n    import sys\n    assert 'asking' not in sys.modules\n"
_PREPARES = "def test_it():\n    import prepare\n    import asking\n    assert asking.MODE == {expected!r}\n"


def passed(count: int) -> dict[str, list[tuple[str, str]]]:
    phases = [(when, "passed") for when in ("setup", "call", "teardown")]
    return {f"test_{number}.py::test_it": phases for number in range(count)}


@pytest.mark.parametrize("isolate", ["file", "test"])
@pytest.mark.parametrize("kind", list(ASKING))
def test_each_child_has_what_its_own_import_would_give(kind, isolate, site, project):
    installed, own, expected = ASKING[kind]
    write(site, {**installed, "asking.py": installed["asking.py"] + _PLACE})
    values = {
        "mode": _MODES.get(kind, "plain"),
        "expected": expected,
        "own": kind in (_OF_THE_PROJECT, _WRITES),
    }
    tests = [_LAZY, _LAZY, _ADOPTS, _DOES_NOT_ASK, _ADOPTS, _PREPARES, _PREPARES]
    files = {f"test_{number}.py": text.format(**values) for number, text in enumerate(tests)}
    project.outside = SITE
    project.write(
        {"prepare.py": "", **{name.replace("conftest", "prepare"): own[name] for name in own}, **files}
    )
    ran = project.run("-p", "no:randomly", f"--hotreload-isolate={isolate}", slots=1)
    assert (ran.outcomes, ran.status, ran.errors) == (passed(len(tests)), 0, []), ran.output


#: An import that can't be repeated in the fork point; only the children have it.
UNSUITED = {
    "fails elsewhere": "import os\nif 'PYTEST_CURRENT_TEST' not in os.environ: raise RuntimeError('elsewhere')\n",
    "ends elsewhere": "import os\nif 'PYTEST_CURRENT_TEST' not in os.environ: os._exit(3)\n",
    "starts a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n",
}


@pytest.mark.parametrize("kind", list(UNSUITED))
def test_what_the_fork_point_cannot_import(kind, site, project, slots):
    write(site, {"asking.py": UNSUITED[kind] + "MODE = 'plain'\n" + _PLACE, "harmless.py": _PLACE})
    test = _ADOPTS.format(mode="plain", own=True)
    project.outside = SITE
    project.write({f"test_{number}.py": test for number in range(8)})
    plain, ours = project.both("-p", "no:randomly", slots=slots)
    assert (ours.outcomes, ours.lines, ours.errors) == (plain.outcomes, plain.lines, plain.errors)
    assert ours.status == 0


def test_output_and_warnings_are_those_of_each_child(site, project):
    """The fork point shows nothing of its own import, and no child adopts a module whose import shows something."""
    loud = "import warnings\nprint('imported')\nwarnings.warn('early')\nMODE = 'plain'\n"
    write(site, {"asking.py": loud + _PLACE})
    project.outside = SITE
    texts = [_ADOPTS.format(mode="plain", own=True)] * 5
    project.write({f"test_{number}.py": text for number, text in enumerate(texts)})
    ran = project.run("-p", "no:randomly", "-rP", slots=1)
    assert (ran.outcomes, ran.status, ran.errors) == (passed(5), 0, [])
    assert [line for line in ran.lines if line == "imported"] == ["imported"] * 5
    assert len(ran.warnings) == 5


def test_what_an_adopted_module_read_is_in_the_record_of_each_file(site, project):
    """An edit of a file that the installed module reads while it is imported concerns all that adopted it."""
    text = "import os\nMODE = open(os.environ['ASKING_DATA']).read()\n"
    write(site, {"asking.py": text + _PLACE})
    project.outside = SITE
    test = "def test_it():\n    import asking\n    assert asking.MODE == 'plain'\n"
    project.write({"data.txt": "plain"} | {f"test_{number}.py": test for number in range(5)})
    project.environ["ASKING_DATA"] = "data.txt"
    assert project.run("-p", "no:randomly", slots=1).outcomes == passed(5)
    (project.root("forks") / "data.txt").write_text("edited")
    ran = project.run("-p", "no:randomly", "--affected", slots=1)
    failed = {name: [("setup", "passed"), ("call", "failed"), ("teardown", "passed")] for name in passed(5)}
    assert (ran.outcomes, ran.status) == (failed, 1), ran.output


# ------------------------------------------------------------------------------- what a test would notice

#: What only an import at its place shows -> (the module, a test).
VISIBLE = {
    "a warning": (
        "import warnings\nwarnings.warn('old', DeprecationWarning)\n",
        "def test_it():\n    with pytest.warns(DeprecationWarning):\n        import asking\n",
    ),
    "a warning below": (
        "import below\n",
        "def test_it():\n    with pytest.warns(DeprecationWarning):\n        import asking\n",
    ),
    "output": (
        "print('imported')\n",
        "def test_it(capsys):\n    import asking\n    assert capsys.readouterr().out == 'imported\\n'\n",
    ),
    "output by descriptor": (
        "import os\nos.write(2, b'imported')\n",
        "def test_it(capfd):\n    import asking\n    assert capfd.readouterr().err == 'imported'\n",
    ),
    "a function": (
        "import helper\nMODE = helper.value()\n",
        (
            "def test_it(monkeypatch):\n    monkeypatch.setattr(helper, 'value', lambda: 'other')\n"
            "    import asking\n    assert asking.MODE == 'other'\n"
        ),
    ),
    "a function of the standard library": (
        "import platform\nMODE = platform.system()\n",
        (
            "def test_it():\n    with mock.patch('platform.system', return_value='other'):\n"
            "        import asking\n    assert asking.MODE == 'other'\n"
        ),
    ),
    "a constant": (
        "import sys\nMODE = sys.platform\n",
        (
            "def test_it(monkeypatch):\n    monkeypatch.setattr(sys, 'platform', 'other')\n"
            "    import asking\n    assert asking.MODE == 'other'\n"
        ),
    ),
    "a method": (
        "from helper import Thing\nMODE = Thing().value()\n",
        (
            "def test_it():\n    with mock.patch.object(helper.Thing, 'value', lambda self: 'other'):\n"
            "        import asking\n    assert asking.MODE == 'other'\n"
        ),
    ),
    "a class": (
        "import helper\nclass Mine(helper.Thing): pass\nMODE = Mine().value()\n",
        (
            "class Other:\n    def value(self): return 'other'\n"
            "def test_it(monkeypatch):\n    monkeypatch.setattr(helper, 'Thing', Other)\n"
            "    import asking\n    assert asking.MODE == 'other'\n"
        ),
    ),
    "the environment": (
        "import os\nMODE = os.environ.get('MODE')\n",
        (
            "def test_it(monkeypatch):\n    monkeypatch.setattr(os, 'environ', {'MODE': 'other'})\n"
            "    import asking\n    assert asking.MODE == 'other'\n"
        ),
    ),
    "a builtin": (
        "MODE = open('asking.cfg').read()\n",
        (
            "def test_it():\n    with mock.patch('builtins.open', mock.mock_open(read_data='other')):\n"
            "        import asking\n    assert asking.MODE == 'other'\n"
        ),
    ),
    "a module that is dropped": (
        "import platform\nMODE = platform.system()\n",
        (
            "def test_it(monkeypatch):\n    sys.modules.pop('asking', None)\n"
            "    monkeypatch.setattr('platform.system', lambda: 'other')\n"
            "    import asking\n    assert asking.MODE == 'other'\n"
        ),
    ),
}
_HELPER = "class Thing:\n    def value(self): return 'plain'\ndef value(): return 'plain'\n"
_HEAD = "import os, sys, pytest, helper\nfrom unittest import mock\n"
_TEACHES = "import helper\ndef test_it():\n    import asking\n"
_BELOW = "import warnings\nwarnings.warn('old', DeprecationWarning)\n"


@pytest.fixture(params=list(VISIBLE))
def visible(request, site):
    module, test = VISIBLE[request.param]
    write(site, {"asking.py": module, "helper.py": _HELPER, "below.py": _BELOW})
    return {"asking.cfg": "plain", "pytest.ini": "[pytest]\n"}, _HEAD + test


def test_a_test_notices_no_learned_module(visible, site, project):
    files, test = visible
    project.outside = SITE
    texts = [_TEACHES] * 3 + [test] * 2
    project.write(files | {f"test_{number}.py": text for number, text in enumerate(texts)})
    ran = project.run("-p", "no:randomly", slots=1)
    assert (ran.outcomes, ran.status, ran.errors) == (passed(5), 0, []), ran.output


def test_a_test_notices_no_module_of_a_server(visible, site, tmp_path):
    files, test = visible
    with Place(tmp_path, files | {"test_0.py": _TEACHES, "test_1.py": test}) as place:
        place.environ["PYTHONPATH"] = str(site)
        place.serve()
        for number in (0, 0, 0, 1, 1):  # the third has what the first two learned
            ran = place.say("run", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", f"test_{number}.py")
            assert (ran.out.splitlines()[-1].split(" in ")[0].split(",")[0], ran.status) == ("1 passed", 0), (
                ran.out
            )


def test_a_test_notices_no_module_of_a_watch(visible, site, tmp_path):
    files, test = visible
    environ = {"PYTHONPATH": str(site)}
    with Watching(tmp_path, files | {"test_0.py": _TEACHES, "test_1.py": test}, environ=environ) as watching:
        assert watching.shown().status == "PASS 2 passed"
        for text in (f"{test}EDITED = 1\n", f"{test}EDITED = 2\n"):
            assert watching.after({"test_1.py": text}).status == "PASS 1 passed"
