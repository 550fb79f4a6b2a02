"""What a template imported is, in each run, what an import at its place would have given."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .serving import Place
from .watching import Watching

QUIET = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly")


@pytest.fixture
def site(tmp_path):
    """A folder of installed packages, beside the project."""
    folder = tmp_path / "lib/site-packages"
    folder.mkdir(parents=True)
    return folder


def _write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


#: Once: a watch takes each save for one.
_CONFIGURES = """\
import pathlib
path = pathlib.Path('asking.cfg')
if not path.exists():
    path.write_text('written')
"""
#: Installed module -> what a project does before it imports the module, and what its tests see.
ASKING = {
    "variable": (
        {"asking.py": "import os\nMODE = os.environ.get('ASKING_MODE', 'plain')\n"},
        {"conftest.py": "import os\nos.environ['ASKING_MODE'] = 'set'\n"},
        "set",
    ),
    "indirect": (
        {
            "asking.py": "from below import MODE\n",
            "below/__init__.py": "from .settings import MODE\n",
            "below/settings.py": "import os\nMODE = os.getenv('ANY_MODE', 'plain')\n",
        },
        {"conftest.py": "import os\nname = 'ANY' + '_MODE'\nos.environ[name] = 'set'\n"},
        "set",
    ),
    "whole environment": (
        {"asking.py": "import os\nMODE = dict(os.environ).get('ASKING' + '_MODE', 'plain')\n"},
        {"conftest.py": "import os\nos.environ.update({'ASKING_MODE': 'set'})\n"},
        "set",
    ),
    "first-party module": (
        {
            "asking.py": "try:\n    from project_settings import MODE\nexcept ImportError:\n    MODE = 'plain'\n"
        },
        {
            "conftest.py": "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'conf'))\n",
            "conf/project_settings.py": "MODE = 'found'\n",
        },
        "found",
    ),
    "first-party module beside the tests": (
        {
            "asking.py": "try:\n    from project_settings import MODE\nexcept ImportError:\n    MODE = 'plain'\n"
        },
        {"project_settings.py": "MODE = 'found'\n"},
        "found",
    ),
    "shadowed module": (
        {"asking.py": "import helper\nMODE = helper.MODE\n", "helper.py": "MODE = 'installed'\n"},
        {
            "conftest.py": "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'conf'))\n",
            "conf/helper.py": "MODE = 'own'\n",
        },
        "own",
    ),
    "stand-in": (
        {"asking.py": "import helper\nMODE = helper.MODE\n", "helper.py": "MODE = 'installed'\n"},
        {
            "conftest.py": "import sys, types\nsys.modules['helper'] = types.SimpleNamespace(MODE='stand-in')\n",
        },
        "stand-in",
    ),
    "file": (
        {
            "asking.py": "try:\n    MODE = open('asking.cfg').read()\nexcept OSError:\n    MODE = 'plain'\n",
        },
        {"conftest.py": _CONFIGURES},
        "written",
    ),
    "file that is there": (
        {
            "asking.py": "import pathlib\nMODE = 'there' if pathlib.Path('asking.cfg').exists() else 'plain'\n",
        },
        {"conftest.py": _CONFIGURES},
        "there",
    ),
    "folder": (
        {"asking.py": "import os\nMODE = os.path.basename(os.getcwd())\n"},
        {
            "conftest.py": "import os\nos.chdir(os.path.join(os.path.dirname(__file__), 'conf'))\n",
            "conf/x": "",
        },
        "conf",
    ),
    "variable of a module": (
        {
            "asking.py": "import os, setter\nMODE = os.environ['SET_BY']\n",
            "setter.py": "import os\nos.environ.setdefault('SET_BY', 'setter')\n",
        },
        {"conftest.py": "import os\nos.environ['SET_BY'] = 'conftest'\n"},
        "conftest",
    ),
}
_EVERYTHING_ELSE = {
    "test_a.py": "import asking\ndef test_mode(): assert asking.MODE == {expected!r}\n",
    "test_b.py": "import asking\ndef test_mode(): assert asking.MODE == {expected!r}\n",
    "test_lazy.py": "def test_mode():\n    import asking\n    assert asking.MODE == {expected!r}\n",
}


@pytest.fixture(params=list(ASKING))
def asking(request, site):
    installed, own, expected = ASKING[request.param]
    _write(site, installed)
    tests = {name: text.format(expected=expected) for name, text in _EVERYTHING_ELSE.items()}
    return {**own, **tests}


def test_a_server(asking, site, tmp_path):
    with Place(tmp_path, asking) as place:
        place.environ["PYTHONPATH"] = str(site)
        place.serve()
        for _ in range(4):
            ran = place.say("run", *QUIET)
            assert (ran.out.splitlines()[-1], ran.status, ran.err) == ("3 passed in TIME", 0, "")


def test_a_watch(asking, site, tmp_path):
    with Watching(tmp_path, asking, environ={"PYTHONPATH": str(site)}) as watching:
        assert watching.shown().status == "PASS 3 passed"
        edited = asking["test_a.py"] + "# edited\n"
        for text in (edited, edited + "#\n"):
            assert watching.after({"test_a.py": text}).status == "PASS 1 passed"


@pytest.mark.parametrize("mode", ["--hotreload-isolate=strict", "--hotreload-isolate=file"])
def test_one_run(asking, site, project, mode):
    project.outside = ["../../lib/site-packages"]
    project.write(asking)
    _, ours = project.same(slots=1, extra=[mode])
    assert ours.status == 0
