"""Inputs that one file reads and others use belong to the reading code, and so to all importers of that code.

One project of pairs: the first file of each makes the read, the second one gets the value from where it was kept. It
runs once; then ``--affected --co`` is asked after one change at a time, each undone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .keeping import Kept, outcomes, reasons

PASSES = "def test_it(): pass\n"
HERE = "import functools, importlib, json, os\nfrom pathlib import Path\nROOT = Path(__file__).resolve().parents[1]\n"
READ = "(ROOT / 'data' / name).read_text()"

FILES = {
    "pytest.ini": "[pytest]\npythonpath = src ../beside\n",
    # -- kept in the project's modules
    "src/memo.py": HERE + f"@functools.lru_cache\ndef load(name):\n    return {READ}\n",
    "src/attribute.py": HERE
    + "class Settings:\n    text = None\n    @classmethod\n    def get(cls, name):\n"
    + f"        if cls.text is None: cls.text = {READ}\n        return cls.text\n",
    "src/lazy.py": HERE + "class Settings:\n    @functools.cached_property\n    def mode(self):\n"
    + "        return os.environ.get('SHARED_MODE')\n"
    + "    @functools.cached_property\n    def all(self):\n        return dict(os.environ)\n"
    + "    @functools.cached_property\n    def names(self):\n        return os.listdir(ROOT / 'data/names')\n"
    + "settings = Settings()\n",
    "src/opening.py": HERE + f"def read(name):\n    return {READ}\n",
    "src/upper.py": "import functools, opening\n@functools.lru_cache\ndef load(name):\n    return opening.read(name)\n",
    "src/backend.py": "import functools, importlib\n@functools.lru_cache\ndef get(name):\n"
     "    return importlib.import_module(name)\n",
    "src/plug_in.py": "",
    "src/threaded.py": "import functools\nfrom concurrent.futures import ThreadPoolExecutor\nfrom pathlib import Path\n"
     "ROOT = Path(__file__).resolve().parents[1]\n@functools.lru_cache\ndef load(name):\n"
     "    with ThreadPoolExecutor(1) as pool:\n"
     "        return pool.submit((ROOT / 'data' / name).read_text).result()\n",
    "src/source.py": "import linecache\nfrom pathlib import Path\nROOT = Path(__file__).resolve().parents[1]\n"
     "def line(name): return linecache.getline(str(ROOT / 'data' / name), 1)\n",
    "data/memo.txt": "1", "data/attribute.txt": "1", "data/upper.txt": "1", "data/threaded.txt": "1",
    "data/source.txt": "1", "data/names/a": "", "data/own.txt": "1",
    "tests/test_memo_1.py": "import memo\nTEXT = memo.load('memo.txt')\n" + PASSES,
    "tests/test_memo_2.py": "import memo\nTEXT = memo.load('memo.txt')\n" + PASSES,
    "tests/test_memo_3.py": "import memo\ndef test_it(): memo.load('memo.txt')\n",
    "tests/test_memo_4.py": "import importlib\nmemo = importlib.import_module('me' + 'mo')\n"
     "import pytest\n@pytest.mark.parametrize('text', [memo.load('memo.txt')])\ndef test_it(text): pass\n",
    "tests/test_attribute_1.py": "import attribute\nattribute.Settings.get('attribute.txt')\n" + PASSES,
    "tests/test_attribute_2.py": "from attribute import Settings\ndef test_it(): Settings.get('attribute.txt')\n",
    "tests/test_lazy_1.py": "from lazy import settings\nsettings.mode, settings.names\n" + PASSES,
    "tests/test_lazy_2.py": "from lazy import settings\ndef test_it(): settings.mode, settings.names\n",
    "tests/test_upper_1.py": "import upper\nupper.load('upper.txt')\n" + PASSES,
    "tests/test_upper_2.py": "import upper\ndef test_it(): upper.load('upper.txt')\n",
    "tests/test_backend_1.py": "import backend\nbackend.get('plug_in')\n" + PASSES,
    "tests/test_backend_2.py": "import backend\ndef test_it(): backend.get('plug_in')\n",
    "tests/test_threaded_1.py": "import threaded\nthreaded.load('threaded.txt')\n" + PASSES,
    "tests/test_threaded_2.py": "import threaded\ndef test_it(): threaded.load('threaded.txt')\n",
    "tests/test_source_1.py": "import source\nsource.line('source.txt')\n" + PASSES,
    "tests/test_source_2.py": "import source\ndef test_it(): source.line('source.txt')\n",
    # -- roots beside the project, and paths with ".."
    "../beside/common/__init__.py": "from .text import shout\n",
    "../beside/common/text.py": "from . import deep\ndef shout(s): return s.upper()\n",
    "../beside/common/deep.py": "",
    "../third/apart.py": "import apart_more\n",
    "../third/apart_more.py": "",
    "inner/within.py": "import within_more\n",
    "inner/within_more.py": "",
    "tests/conftest.py": "import os, sys\n"
     "sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'inner'))\n"
     "sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'third'))\n",
    "tests/test_beside.py": "from common import shout\n" + PASSES,
    "tests/test_third.py": "def test_it(): import apart\n",
    "tests/test_inner.py": "import within\n" + PASSES,
    # -- asked for in ways of their own
    "data/target_1": "", "data/target_2": "", "data/forked.txt": "1", "data/pool.txt": "1",
    "src/thing.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: thing\nVersion: 1\n",
    "src/thing.egg-info/entry_points.txt": "[things]\na = b:c\n",
    "src/found.py": "",
    "tests/test_spec.py": "import importlib.util\n"
     "def test_it(): assert importlib.util.find_spec('absent') is None\n",
    "tests/test_spec_once.py": "from importlib.util import find_spec\nABSENT = find_spec('missing.part'"
     " if find_spec('missing') else 'missing')\n" + PASSES,
    "tests/test_spec_found.py": "import importlib.util\ndef test_it(): assert importlib.util.find_spec('found')\n",
    "tests/test_version.py": "import importlib.metadata\nVERSION = importlib.metadata.version('thing')\n" + PASSES,
    "tests/test_points.py": "import importlib.metadata\n"
     "def test_it(): assert [p.value for p in importlib.metadata.entry_points(group='things')] == ['b:c']\n",
    "tests/test_link.py": HERE + "def test_it(): assert os.readlink(ROOT / 'data/link') == 'target_1'\n",
    "tests/test_resolved.py": HERE + "def test_it(): assert (ROOT / 'data/link').resolve().name == 'target_1'\n",
    "tests/test_forked.py": HERE + "def test_it():\n    pid = os.fork()\n    if pid == 0:\n"
    + "        (ROOT / 'data/forked.txt').read_text()\n        os._exit(0)\n    os.waitpid(pid, 0)\n",
    "tests/test_pool.py": HERE + "import multiprocessing\ndef read(path): return path.read_text()\n"
    + "def test_it():\n    with multiprocessing.get_context('fork').Pool(1) as pool:\n"
    + "        assert pool.map(read, [ROOT / 'data/pool.txt']) == ['1']\n",
}  # fmt: skip
TESTS = sorted(name for name in FILES if Path(name).name.startswith("test_"))
ELSEWHERE = "its imports resolve to other files"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    kept = Kept(tmp_path_factory.mktemp("shared"), FILES, outside=["../beside", "../third"])
    (kept.root / "data/link").symlink_to("target_1")
    first = kept.run("--affected", "-v")
    assert reasons(first) == dict.fromkeys(TESTS, "no record yet")
    assert set(outcomes(first).values()) == {"passed"}
    assert kept.affected() == {}
    return kept


def about(kind: str) -> set[str]:
    return {name for name in TESTS if name.startswith(f"tests/test_{kind}")}


#: What is written (None: removed), and which files run then.
CHANGES: dict[str, tuple[dict[str, str | None], set[str]]] = {
    "lru_cache": ({"data/memo.txt": "2"}, about("memo")),
    "class attribute": ({"data/attribute.txt": "2"}, about("attribute")),
    "listing in a settings object": ({"data/names/b": ""}, about("lazy")),
    "read by one module, kept by another": ({"data/upper.txt": "2"}, about("upper")),
    "module imported by name, kept": ({"src/plug_in.py": "x = 1"}, about("backend")),
    "linecache": ({"data/source.txt": "2"}, about("source")),
    "read in a thread, by nobody's code": ({"data/threaded.txt": "2"}, set(TESTS)),
    "below a root beside": ({"../beside/common/text.py": "def shout(s): pass\n"}, about("beside")),
    "further below a root beside": ({"../beside/common/deep.py": "x = 1"}, about("beside")),
    "root that a conftest adds": ({"../third/apart_more.py": "x = 1"}, about("third")),
    "root inside, by a path with dots": ({"inner/within_more.py": "x = 1"}, about("inner")),
    "find_spec": ({"src/absent.py": ""}, about("spec.py")),
    "find_spec in a root beside": ({"../beside/absent.py": ""}, about("spec.py")),
    "find_spec, a folder": ({"src/absent/data.txt": ""}, about("spec.py")),
    "find_spec at import": ({"src/missing/__init__.py": ""}, about("spec_once")),
    "found by find_spec": ({"src/found.py": None}, about("spec_found")),
    "version of a source tree": (
        {"src/thing.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: thing\nVersion: 2\n"}, about("version")
    ),
    "entry points of a source tree": (
        {"src/thing.egg-info/entry_points.txt": "[things]\na = d:e\n"}, about("points")
    ),
    "in a forked process": ({"data/forked.txt": "2"}, about("forked")),
    "in a pool of processes": ({"data/pool.txt": "2"}, about("pool")),
    "what nobody read": ({"data/own.txt": "2", "src/unused.py": "", "../beside/unused.py": ""}, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_selects(kept: Kept, name: str) -> None:
    files, expected = CHANGES[name]
    before = {file: kept.root / file for file in files}
    texts = {file: path.read_text() if path.exists() else None for file, path in before.items()}
    kept.write(files)
    try:
        assert set(kept.affected()) == expected
    finally:
        kept.write(texts)
        for path in before.values():
            if path.parent != kept.root and not any(path.parent.iterdir()):
                path.parent.rmdir()


def test_a_link_that_leads_elsewhere(kept: Kept) -> None:
    link = kept.root / "data/link"
    link.unlink()
    link.symlink_to("target_2")
    try:
        assert set(kept.affected()) == about("link") | about("resolved")
    finally:
        link.unlink()
        link.symlink_to("target_1")


def test_a_variable_in_a_settings_object(kept: Kept) -> None:
    kept.environ["SHARED_MODE"] = "b"
    try:
        assert set(kept.affected()) == about("lazy")
    finally:
        del kept.environ["SHARED_MODE"]


@pytest.mark.parametrize("mode", ["--affected", "--reuse=on"])
def test_what_an_installed_package_remembers(tmp_path: Path, mode: str) -> None:
    """``jinja2`` keeps templates in an environment; who has it, nobody can tell: all files depend on what it read."""
    files = {
        "page.html": "1",
        "pages.py": "import jinja2\nfrom pathlib import Path\n"
        "PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent))\n",
        "test_a.py": "import pages\nTEXT = pages.PAGES.get_template('page.html').render()\n"
        "def test_a(): assert TEXT == '1'\n",
        "test_b.py": "import pages\nTEXT = pages.PAGES.get_template('page.html').render()\n"
        "def test_b(): assert TEXT == '1'\n",
        "pytest.ini": "[pytest]\npythonpath = .\n",
    }
    pytest.importorskip("jinja2")
    kept = Kept(tmp_path, files)
    assert kept.run(mode).status == 0
    kept.write({"page.html": "2"})
    result = kept.run(mode)
    assert outcomes(result) == {"test_a.py::test_a": "failed", "test_b.py::test_b": "failed"}
