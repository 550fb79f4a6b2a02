"""A module that the template imported equals, in each run, the module that an import in the run would give."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from random import Random

import pytest

from .isolating import Workshop
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
        for _ in range(3):  # the third has what the first two learned
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


def test_a_watch_sees_what_a_warm_module_looks_for(site, tmp_path):
    """A module of the project that an installed one looked for in vain comes into being."""
    installed, own, _ = ASKING["first-party module beside the tests"]
    _write(site, installed)
    test = "import asking\ndef test_mode(): assert asking.MODE == 'plain'\n"
    files = {"test_a.py": test, "test_b.py": "def test_b(): pass\n"}
    with Watching(tmp_path, files, environ={"PYTHONPATH": str(site)}) as watching:
        assert watching.shown().status == "PASS 2 passed"
        assert watching.after(own).status.startswith("FAIL 1 failed")


# ------------------------------------------------------------------------------- native code

NATIVE = {
    "nat/__init__.py": "import os\nMODE = os.environ.get('NAT_MODE', 'plain')\nfrom . import _bisect\n",
}
WITH_NATIVE = {
    "conftest.py": "import os\nname = 'NAT' + '_MODE'\nos.environ[name] = 'set'\n",
    "test_a.py": "import nat\ndef test_mode(): assert nat.MODE == 'set'\n",
    "test_b.py": "import nat\ndef test_mode(): assert nat.MODE == 'set'\n",
}
OTHERWISE = "under other conditions (NAT_MODE was not set)"
UNSUITED = f"hotreload: nat was imported ahead {OTHERWISE}; this run starts over in a fresh interpreter\n"


@pytest.fixture
def native(site):
    """An installed package with an extension module: the interpreter's own, under another name."""
    found = importlib.util.find_spec("_bisect")
    if found is None or not found.has_location or found.origin is None:
        pytest.skip("this interpreter has no extension module that could be copied")
    _write(site, NATIVE)
    shutil.copy(found.origin, site / "nat")
    return site


def test_native_code_in_a_server(native, tmp_path):
    """It can't come up twice: the run starts over, and the next template goes without it."""
    with Place(tmp_path, WITH_NATIVE) as place:
        place.environ["PYTHONPATH"] = str(native)
        place.serve()
        ran = [place.say("run", *QUIET) for _ in range(3)]
        assert [(each.out.splitlines()[-1], each.status) for each in ran] == [("2 passed in TIME", 0)] * 3
        renewed = f"hotreload: new template: nat is kept out, because it was imported {OTHERWISE}\n"
        assert [each.err for each in ran] == [UNSUITED, renewed, ""]


def test_native_code_in_a_watch(native, tmp_path):
    with Watching(tmp_path, WITH_NATIVE, environ={"PYTHONPATH": str(native)}) as watching:
        assert watching.shown().status == "PASS 2 passed"
        edited = WITH_NATIVE["test_a.py"] + "# edited\n"
        assert watching.after({"test_a.py": edited}).status == "PASS 1 passed"


def test_native_code_in_a_run(native, project):
    project.outside = ["../../lib/site-packages"]
    project.write(WITH_NATIVE)
    _, ours = project.same(slots=1, extra=["--hotreload-isolate=strict"])
    why = f"nat was imported ahead {OTHERWISE}"
    said = [f"hotreload: test_{n}.py started over in a fresh interpreter: {why}" for n in "ab"]
    assert [line for line in ours.notices if "started over" in line] == said


# ------------------------------------------------------------------------------- kept out


def test_a_module_that_is_kept_out(site, tmp_path):
    """Each run imports it by itself, and so what imports it; the template does not."""
    log = tmp_path / "log"
    note = f"open({str(log)!r}, 'a').write(__name__ + '\\n')\n"
    _write(site, {"sought.py": note, "seeker.py": "import sought\n" + note, "third.py": note})
    files = {
        "pytest.ini": "[pytest]\nhotreload_not_warm = sought\n",
        "test_a.py": "import seeker, third\ndef test_a(): pass\n",
    }
    with Place(tmp_path, files) as place:
        place.environ["PYTHONPATH"] = str(site)
        place.serve()
        for _ in range(2):
            assert place.say("run", *QUIET).status == 0
    # The template's second try is one without the seeker; the first may have come as far as the third.
    assert log.read_text().split() == ["third", "sought", "seeker", "sought", "seeker"]


# ------------------------------------------------------------------------------- the project's own plugins

PLUGIN = {
    "myfix.py": "import pytest\nfrom mypkg.helpers import VALUE\n\n@pytest.fixture\ndef value():\n    return VALUE\n",
    "mypkg/__init__.py": "",
    "mypkg/helpers.py": "VALUE = 1\n",
    "test_value.py": "import mypkg.helpers\ndef test_value(value): assert value == mypkg.helpers.VALUE == 1\n",
    "test_other.py": "def test_other(): pass\n",
}
ENTRY = {
    "own-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: own\nVersion: 1.0\n",
    "own-1.0.dist-info/entry_points.txt": "[pytest11]\nown = myfix\n",
}
LOADED: dict[str, tuple[dict[str, str], dict[str, str | None]]] = {
    "addopts": ({"pytest.ini": "[pytest]\naddopts = -p myfix\n"}, {}),
    "variable": ({"pytest.ini": "[pytest]\n"}, {"PYTEST_PLUGINS": "myfix"}),
    "entry point": ({"pytest.ini": "[pytest]\n"}, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": None}),
}


@pytest.mark.parametrize("way", list(LOADED))
def test_an_edited_plugin_of_the_project(way, site, tmp_path):
    own, environ = LOADED[way]
    if way == "entry point":
        _write(site, ENTRY)
        others = {each.name for each in importlib.metadata.entry_points(group="pytest11")} - {"hotreload"}
        environ = {**environ, "PYTEST_ADDOPTS": " ".join(f"-p no:{name}" for name in sorted(others))}
    environ = {"PYTHONPATH": str(site), **environ}
    with Watching(tmp_path, {**PLUGIN, **own}, environ=environ) as watching:
        assert watching.shown().status == "PASS 2 passed"
        assert watching.after({"mypkg/helpers.py": "VALUE = 2\n"}).status.startswith("FAIL 1 failed")
        assert watching.after({"mypkg/helpers.py": "VALUE = 1\n"}).status.startswith("PASS ")
        broken = PLUGIN["myfix.py"].replace("return VALUE", "return -VALUE")
        assert watching.after({"myfix.py": broken}).status.startswith("FAIL 1 failed")
        assert watching.after({"myfix.py": PLUGIN["myfix.py"]}).status.startswith("PASS ")


def test_what_a_plugin_of_the_project_reads_while_it_is_imported(tmp_path):
    """In a watch and in a server: each edit of that counts."""
    reads = {"mypkg/helpers.py": "import pathlib\nVALUE = int(pathlib.Path('data.txt').read_text())\n"}
    files = {**PLUGIN, **LOADED["addopts"][0], **reads, "data.txt": "1"}
    with Watching(tmp_path / "watch", files) as watching:
        assert watching.shown().status == "PASS 2 passed"
        assert watching.after({"data.txt": "2"}).status.startswith("FAIL 1 failed")
        assert watching.after({"data.txt": "1"}).status.startswith("PASS ")
    with Place(tmp_path / "server", files) as place:
        place.serve()
        assert place.say("run", *QUIET).status == 0
        place.write({"data.txt": "2"})
        assert place.say("run", *QUIET).out.splitlines()[-1] == "1 failed, 1 passed in TIME"
        place.write({"data.txt": "1"})
        assert place.say("run", *QUIET).status == 0


def test_an_edited_plugin_in_a_server(tmp_path):
    with Place(tmp_path, {**PLUGIN, **LOADED["addopts"][0]}) as place:
        place.serve()
        assert place.say("run", *QUIET).status == 0
        place.write({"mypkg/helpers.py": "VALUE = 2222\n"})
        assert place.say("run", *QUIET).out.splitlines()[-1] == "1 failed, 1 passed in TIME"
        place.write({"mypkg/helpers.py": "VALUE = 1\n"})
        assert place.say("run", *QUIET).status == 0


# ------------------------------------------------------------------------------- at random

#: What an installed module may ask, and what it sets: {} is a number.
_QUESTIONS = (
    "STATE.append(os.environ.get('V{}'))",
    "STATE.append(os.environ.setdefault('V{}', __name__))",
    "os.environ['V{}'] = __name__",
    "STATE.append('V{}' in os.environ)",
    "STATE.append(sorted((k, v) for k, v in os.environ.items() if k[:1] == 'V' and k[1:].isdigit()))",
    "STATE.append(os.path.basename(os.getcwd()))",
    "STATE.append(os.path.exists('file{}'))",
    "try:\n    import own{} as found\nexcept ImportError:\n    found = None\nSTATE.append(found and found.STATE)",
    "try:\n    STATE.append(open('file{}').read())\nexcept OSError:\n    STATE.append(None)",
    "if os.environ.get('V{}'):\n    import inst0\n    STATE.append(inst0.STATE)",
)
#: What a conftest or a test file does before it imports one.
_PREPARING = (
    "os.environ['V{}'] = 'conftest'",
    "os.environ.pop('V{}', None)",
    "sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'path{}'))",
    "sys.modules['own{}'] = types.SimpleNamespace(STATE='stand-in')",
    "os.chdir(os.path.dirname(os.path.abspath(__file__)))",
    "pass",
)
_MODULES, _NAMES = 6, 3


def _installed(random):
    """Modules that import each other and ask."""
    files = {}
    for number in range(_MODULES):
        lines = ["import os", "STATE = []"]
        asks = random.choices(_QUESTIONS, k=random.randint(0, 3))
        lines += [each.format(random.randrange(_NAMES)) for each in asks]
        for other in random.sample(range(number), min(number, random.randint(0, 2))):
            lines.insert(
                random.randint(2, len(lines)), f"import inst{other}\nSTATE.append(inst{other}.STATE)"
            )
        files[f"inst{number}.py"] = "\n".join(lines) + "\n"
    return files


def _case(random):
    """A folder of tests, each with things that are done before imports."""

    def importing():
        steps = [
            random.choice(_PREPARING).format(random.randrange(_NAMES)) for _ in range(random.randint(0, 2))
        ]
        steps += [f"import inst{random.randrange(_MODULES)}" for _ in range(random.randint(0, 2))]
        random.shuffle(steps)
        return "import os, sys, types\n" + "".join(step + "\n" for step in steps)

    every = ", ".join(f"'inst{number}'" for number in range(_MODULES))
    shows = f"\ndef test_it():\n    for name in ({every}):\n        module = sys.modules.get(name)\n"
    shows += "        print('|', name, module and module.STATE)\n"
    shows += "    print('|', sorted((k, v) for k, v in os.environ.items() if k in ('V0', 'V1', 'V2')))\n"
    files = {"conftest.py": importing()}
    for number in range(_NAMES):
        if random.random() < 0.5:
            files[f"file{number}"] = "content"
            files[f"path{number}/own{number}.py"] = "STATE = 'own'\n"
    for name in "ab":
        files[f"test_{name}.py"] = importing() + shows
    return files


#: Per case: a fork that imports by itself, and forks of a fork that imported everything ahead.
_FORKS = """\
import os, runpy, sys
from pytest_hotreload.imports import analysis
from pytest_hotreload.process import adoption
from pytest_hotreload.process.import_inputs import Recorder
from pytest_hotreload.process.template import import_module, recording
sys.path[:0] = [{site!r}]
modules = ["inst%d" % number for number in range({modules})]

def seen(folder):
    runpy.run_path(folder + "/conftest.py")
    runpy.run_path(folder + "/test_a.py")
    shown = [(name, getattr(sys.modules.get(name), "STATE", None)) for name in modules]
    return repr((shown, sorted((k, v) for k, v in os.environ.items() if k in ("V0", "V1", "V2"))))

def in_fork(work):
    read, write = os.pipe()
    if not (pid := os.fork()):
        os.close(read)
        try:
            text = work()
        except BaseException as error:
            text = repr(error)
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text

def warm(folder):
    held = adoption.hold(Recorder())
    with recording(held.recorder):
        for name in modules:
            import_module(name)
    held.hold_back(set(sys.modules) - set(modules))
    return in_fork(lambda: seen(folder))

for number in range({cases}):
    folder = {root!r} + "/case%d" % number
    plain, ours = in_fork(lambda: seen(folder)), in_fork(lambda: warm(folder))
    if plain != ours:
        print(folder, plain, ours, sep="\\n")
"""


def test_adopted_is_what_an_import_would_give(tmp_path):
    """The same without pytest, in forks: hundreds of cases in a few seconds."""
    seed, cases = int(os.environ.get("HOTRELOAD_SEED", "0")), int(os.environ.get("HOTRELOAD_FORKS", "300"))
    random, place = Random(seed), tmp_path / "lib/site-packages"
    _write(place, _installed(random))
    for number in range(cases):
        _write(tmp_path / f"case{number}", _case(random))
    program = _FORKS.format(site=str(place), root=str(tmp_path), modules=_MODULES, cases=cases)
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)


def test_at_random(site, tmp_path):
    """Plain pytest and attached runs of the same folder show the same, however often, and in whichever order."""
    random = Random(int(os.environ.get("HOTRELOAD_SEED", "0")))
    cases = [_case(random) for _ in range(int(os.environ.get("HOTRELOAD_CASES", "3")))]
    _write(site, _installed(random))
    files = {f"case{n}/{name}": text for n, case in enumerate(cases) for name, text in case.items()}
    with Place(tmp_path, {"pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n", **files}) as place:
        place.environ["PYTHONPATH"] = str(site)
        place.serve()
        words = ("-q", "-s", "-p", "no:cacheprovider", "-p", "no:randomly")
        for turn in range(2):
            for number in range(len(cases)):
                plain = place.say("pytest", *words, f"case{number}")
                assert place.say("run", *words, f"case{number}") == plain, (turn, number)
                assert plain.out.count("| inst0") == 2


def test_an_isolated_call_after_its_host_changed_a_variable(tmp_path):
    """The template of `isolate_imports` is as any other."""
    workshop = Workshop(tmp_path)
    workshop.write(
        {
            "site-packages/asking.py": "import os\nMODE = os.environ.get('ASKING_MODE', 'plain')\nPID = os.getpid()\n",
            "src/shop.py": "import asking\ndef mode(): return asking.MODE, asking.PID == __import__('os').getppid()\n",
        }
    )
    ran = workshop.run(
        """
        with isolate_imports("shop") as environment:
            import shop
            found = [environment.exec(shop.mode).result()]
            os.environ["ASKING_MODE"] = "set"
            report(modes=[*found, environment.exec(shop.mode).result()])
        """
    )
    assert ran.report == {"modes": [["plain", True], ["set", False]]}
