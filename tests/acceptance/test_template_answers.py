"""A module that the template imported equals, in each run, the module that an import in the run would give."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil

import pytest

from .asking import ASKING
from .isolating import Workshop
from .processes import until
from .serving import Place
from .watching import Watching, write

QUIET = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly")

_EVERYTHING_ELSE = {
    "test_a.py": "import asking\ndef test_mode(): assert asking.MODE == {expected!r}\n",
    "test_b.py": "import asking\ndef test_mode(): assert asking.MODE == {expected!r}\n",
    "test_lazy.py": "def test_mode():\n    import asking\n    assert asking.MODE == {expected!r}\n",
}


@pytest.fixture(params=list(ASKING))
def asking(request, site):
    installed, own, expected = ASKING[request.param]
    write(site, installed)
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
        edited = asking["test_a.py"] + "EDITED = 1\n"
        for text in (edited, edited + "AGAIN = 1\n"):
            assert watching.after({"test_a.py": text}).status == "PASS 1 passed"


@pytest.mark.parametrize("mode", ["--hotreload-isolate=strict", "--hotreload-isolate=file"])
def test_one_run(asking, site, project, mode):
    project.outside = ["../../lib/site-packages"]
    project.write(asking)
    _, ours = project.same(slots=1, extra=[mode])
    assert ours.status == 0


#: A module that warns while a test file imports it, as plain pytest shows it.
LOUD = {"asking.py": "import warnings\nwarnings.warn('old', DeprecationWarning)\nMODE = 'plain'\n"}


@pytest.mark.parametrize("options", [[], ["-W", "error::DeprecationWarning"]], ids=["shown", "error"])
def test_a_server_shows_the_warnings_of_an_import(options, site, tmp_path):
    write(site, LOUD)
    with Place(
        tmp_path, {"test_a.py": "import asking\ndef test_mode(): assert asking.MODE == 'plain'\n"}
    ) as place:
        place.environ["PYTHONPATH"] = str(site)
        plain = place.say("pytest", *QUIET, *options)
        assert ("1 warning" if not options else "1 error") in plain.out
        place.serve()
        for _ in range(3):
            ran = place.say("run", *QUIET, *options)
            assert (ran.out, ran.status) == (plain.out, plain.status)


@pytest.mark.parametrize("mode", ["--hotreload-isolate=strict", "--hotreload-isolate=file"])
def test_one_run_shows_the_warnings_of_an_import(site, project, mode):
    write(site, LOUD)
    project.outside = ["../../lib/site-packages"]
    project.write({f"test_{name}.py": "import asking\ndef test_mode(): pass\n" for name in "ab"})
    plain, _ = project.same(slots=1, extra=[mode])
    assert len(plain.warnings) == 1


def test_a_watch_sees_what_a_warm_module_looks_for(site, tmp_path):
    """A module of the project that an installed one looked for in vain comes into being."""
    installed, own, _ = ASKING["first-party module beside the tests"]
    write(site, installed)
    test = "import asking\ndef test_mode(): assert asking.MODE == 'plain'\n"
    files = {"test_a.py": test, "test_b.py": "def test_b(): pass\n"}
    with Watching(tmp_path, files, environ={"PYTHONPATH": str(site)}) as watching:
        assert watching.shown().status == "PASS 2 passed"
        assert watching.after(own).status.startswith("FAIL 1 failed")


def test_a_watch_imports_an_installed_module_once(site, tmp_path):
    """Also into fork points: a module imported anew would meet what its first import told other modules."""
    log = tmp_path / "log"
    log.mkdir()
    # A folder each time, since a file that several processes write would be an input.
    note = f"import tempfile\ntempfile.mkdtemp(prefix=__name__ + '-', dir={str(log)!r})\n"
    write(site, {"once.py": note, "late.py": "import once, os.path\n"})
    files = {
        "core.py": "VALUE = 1\n",
        "stable.py": "import late\n" + note,
        **{f"test_{name}.py": "import core, stable\ndef test_core(): assert core.VALUE\n" for name in "ab"},
    }
    with Watching(tmp_path / "watch", files, environ={"PYTHONPATH": str(site)}) as watching:
        assert watching.shown().status == "PASS 2 passed"
        # The first run, and then a fork point.
        until(lambda: len(list(log.glob("stable-*"))) == 2, "the fork point that holds stable.py")
        for value in (2, 3):
            assert watching.after({"core.py": f"VALUE = {value}\n"}).status == "PASS 2 passed"
    assert len(list(log.glob("once-*"))) == 1


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
    write(site, NATIVE)
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
        edited = WITH_NATIVE["test_a.py"] + "EDITED = 1\n"
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
    write(site, {"sought.py": note, "seeker.py": "import sought\n" + note, "third.py": note})
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
        write(site, ENTRY)
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


def test_an_isolated_call_adopts_what_an_import_would_have_printed(tmp_path):
    """It shows nothing of imports, so nobody could tell."""
    workshop = Workshop(tmp_path)
    loud = "import os, warnings\nprint('imported')\nwarnings.warn('old', DeprecationWarning)\nPID = os.getpid()\n"
    shop = "import asking, os\ndef is_adopted(): return asking.PID == os.getppid()\n"
    workshop.write({"site-packages/asking.py": loud, "src/shop.py": shop})
    ran = workshop.run(
        """
        with isolate_imports("shop") as environment:
            import shop
            report(adopted=environment.exec(shop.is_adopted).result())
        """
    )
    assert ran.report == {"adopted": True}
