"""Imported names and environment variables, and the code on whose behalf they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from .recording import Row, execute, linux_only, recorded, short, state, touched

pytestmark = linux_only

#: a module that is loaded, a package with a submodule, one that is not loaded.
SOURCES = {
    "loaded.py": "value = 1",
    "package/__init__.py": "",
    "package/sub.py": "",
    "package/relative.py": "def run():\n    from . import sub\n    from .sub import x\n    from .. import nothing",
    "cold.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "root"
    write(folder, SOURCES)
    return folder


def write(folder: Path, sources: dict[str, str]) -> None:
    for name, text in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def imports(root: Path, body: str) -> list[str]:
    """The names that the body asks for, after some were loaded."""
    before = "import loaded, package.sub, package.relative, json, importlib\nbegin(); _native.watch_imports(True)\n"
    return [name for _, kind, name, _ in recorded(root, f"{before}{body}\nend()") if kind == "import"]


IMPORTS = {
    "statement": ("import loaded", ["loaded"]),
    "statement twice": ("import loaded\nimport loaded", ["loaded"]),
    "statement of a submodule": ("import package.sub", ["package.sub"]),
    "from": ("from loaded import value", ["loaded", "loaded.value"]),
    "from all": ("from loaded import *", ["loaded"]),
    "from a package": ("from package import sub", ["package", "package.sub"]),
    "cold": ("import cold", ["cold"]),
    "missing": ("try: import no.such\nexcept ImportError: pass", ["no.such", "no"]),
    "standard library": ("import json.decoder, os; from importlib import util", []),
    "function": ("__import__('loaded')", ["loaded"]),
    "function with keywords": (
        "__import__(name='package', fromlist=['sub'], level=0)",
        ["package", "package.sub"],
    ),
    "import_module": ("importlib.import_module('loaded')", ["loaded"]),
    "import_module, relative": ("importlib.import_module('.sub', 'package')", ["package.sub"]),
    "importlib's own": ("importlib.__import__('loaded')", ["loaded"]),
    "in a function": ("def f():\n    import loaded\nf(); f()", ["loaded"]),
    "relative, the last too far": (
        "try: package.relative.run()\nexcept ImportError: pass",
        ["package", "package.sub", "package.sub.x"],
    ),
    "relative by function": (
        "__import__('sub', {'__package__': 'package'}, None, ('y',), 1)",
        ["package.sub", "package.sub.y"],
    ),
    "relative by name": ("__import__('sub', {'__name__': 'package.x'}, None, (), 1)", ["package.sub"]),
    "relative of a package by name": (
        "__import__('', {'__name__': 'package', '__path__': []}, None, ('sub',), 1)",
        ["package", "package.sub"],
    ),
}


@pytest.mark.parametrize(("body", "names"), IMPORTS.values(), ids=IMPORTS.keys())
def test_imports(body: str, names: list[str], root: Path) -> None:
    assert imports(root, body) == names


def test_without_watching_only_what_is_not_loaded_is_asked_for(root: Path) -> None:
    body = "import loaded\nbegin()\nimport loaded, cold\nend()"
    names = [row[2] for row in recorded(root, body) if row[1] == "import"]
    assert names == ["cold"]


def test_the_functions_look_like_the_originals(root: Path) -> None:
    body = """
        import builtins, importlib, inspect
        def look():
            functions = (builtins.__import__, importlib._bootstrap._gcd_import)
            return [(f.__name__, f.__doc__, f.__module__, f.__qualname__) for f in functions]
        before, originals = look(), (builtins.__import__, importlib._bootstrap._gcd_import)
        text = repr(builtins.__import__), builtins.__import__.__self__, builtins.__import__.__text_signature__
        signature = str(inspect.signature(importlib._bootstrap._gcd_import))
        _native.watch_imports(True); _native.watch_imports(True)
        assert builtins.__import__ is not originals[0] and importlib._bootstrap._gcd_import is not originals[1]
        assert look() == before, (look(), before)
        new = builtins.__import__
        assert (repr(new), new.__self__, new.__text_signature__) == text
        assert str(inspect.signature(importlib._bootstrap._gcd_import)) == signature
        for wrong in ((), (1,), ("",), ("a", None, None, (), -1)):
            for function, ours in zip(originals, (new, importlib._bootstrap._gcd_import)):
                said = []
                for one in (function, ours):
                    try: one(*wrong)
                    except Exception as error: said.append(repr(error))
                assert len(said) == 2 and said[0] == said[1], said
        _native.watch_imports(False)
        assert (builtins.__import__, importlib._bootstrap._gcd_import) == originals
        _native.watch_imports(True)
        import loaded
        wrapper = builtins.__import__ = lambda *args, inner=builtins.__import__, **kwargs: inner(*args, **kwargs)
        _native.watch_imports(False)
        assert builtins.__import__ is wrapper and importlib._bootstrap._gcd_import is originals[1]
        _native.watch_imports(True)
        assert builtins.__import__ is wrapper
        begin()
        import loaded
        print([row[2] for row in _native.observed()])
    """
    assert execute(root, body) == "['loaded']\n"


def test_tracebacks_are_as_without(root: Path) -> None:
    write(root, {"broken.py": "import package\n1 / 0", "unparsed.py": "def", "outer.py": "import broken"})
    body = """
        import importlib, traceback
        def run():
            for call in (lambda: importlib.import_module("outer"), lambda: __import__("outer"),
                         lambda: exec("import no"),
                         lambda: exec("from package import no"), lambda: importlib.import_module("package.no.x"),
                         lambda: exec("import unparsed"), lambda: importlib.import_module(".x"), lambda: __import__(3)):
                try: call()
                except Exception: traceback.print_exc()
    """
    run = "    run()\n"
    without = execute(root, body + run)
    assert without.count("Traceback") == 8
    assert execute(root, f"{body}    begin(); _native.watch_imports(True)\n    {run}") == without


def files(root: Path, rows: list[Row]) -> list[tuple[str, str]]:
    return [(kind, short(root, subject)) for _, kind, subject, _ in rows]


def test_bytecode_stands_for_its_source(root: Path) -> None:
    cold = files(root, recorded(root, "begin()\nimport package.sub, cold\nend()"))
    warm = recorded(root, "begin()\nimport package.sub, cold\nend()")
    assert (root / "package" / "__pycache__").is_dir()
    assert files(root, warm) == [
        ("import", "package.sub"),
        ("import", "package"),
        ("read", "package/__init__.py"),
        ("read", "package/sub.py"),
        ("import", "cold"),
        ("read", "cold.py"),
    ]
    assert cold == files(root, warm)
    states = {subject: found for _, kind, subject, found in warm if kind == "read"}
    assert states == {
        str(root / name): state(root / name) for name in ("package/__init__.py", "package/sub.py", "cold.py")
    }


def test_bytecode_elsewhere_stands_for_its_source(root: Path) -> None:
    body = "begin(pycache_prefix=sys.pycache_prefix)\nimport package.sub\nend()"
    prefix = str(root.parent / "cache")
    cold = recorded(root, body, "-X", f"pycache_prefix={prefix}")
    warm = recorded(root, body, "-X", f"pycache_prefix={prefix}")
    assert cold == warm
    assert [row for row in files(root, warm) if row[0] != "import"] == [
        ("read", "package/__init__.py"),
        ("read", "package/sub.py"),
    ]


def test_bytecode_without_a_source_stands_for_itself(root: Path) -> None:
    execute(root, "import py_compile; py_compile.compile('cold.py', 'bare.pyc')")
    assert touched(root, "import bare") == [("import", "bare"), ("read", "bare.pyc")]


def test_a_module_by_its_file(root: Path) -> None:
    body = """
        import importlib.util
        begin()
        spec = importlib.util.spec_from_file_location("anything", "package/sub.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        end()
    """
    assert files(root, recorded(root, body)) == [("read", "package/sub.py")]


OWNERS = {
    "top.py": "import middle\nmiddle.run()\nopen('a').close()",
    "middle.py": "import inner\ndef run(): open('b').close()\nopen('c').close()",
    "inner.py": "open('d').close()",
}


def test_owners_while_collecting(root: Path) -> None:
    write(root, OWNERS | dict.fromkeys("abcde", ""))
    body = """
        begin(collecting=True); _native.watch_imports(True)
        assert _native.observe_for("first") == ""
        open("e").close()
        import top
        assert _native.observe_for("second") == "first"
        open("a").close(); top.middle.run(); open("e").close()
        end()
    """
    rows = recorded(root, body)
    assert [(short(root, owner), kind, short(root, subject)) for owner, kind, subject, _ in rows] == [
        ("first", "read", "e"),
        ("first", "import", "top"),
        ("first", "read", "top.py"),
        ("top.py", "import", "middle"),
        ("top.py", "read", "middle.py"),
        ("middle.py", "import", "inner"),
        ("middle.py", "read", "inner.py"),
        ("inner.py", "read", "d"),
        ("middle.py", "read", "c"),
        ("middle.py", "read", "b"),
        ("top.py", "read", "b"),
        ("top.py", "read", "a"),
        ("second", "read", "a"),
        ("second", "read", "b"),
        ("second", "read", "e"),
    ]


def test_an_import_belongs_to_the_file_that_says_it(root: Path) -> None:
    write(root, {"middle.py": "def run():\n    import loaded", "top.py": "import middle\nmiddle.run()"})
    body = """
        import loaded, top
        begin(collecting=True); _native.watch_imports(True)
        del sys.modules["top"]
        import top
        end()
    """
    rows = recorded(root, body)
    assert [(short(root, owner), subject) for owner, kind, subject, _ in rows if kind == "import"] == [
        ("", "top"),
        ("top.py", "middle"),
        ("middle.py", "loaded"),
    ]


#: With A=1 set and B not.
VARIABLES = {
    "getenv": ("os.getenv('A'); os.getenv('B')", ["A", "B"]),
    "item": ("os.environ['A']", ["A"]),
    "missing item": ("try: os.environ['B']\nexcept KeyError: pass", ["B"]),
    "get": ("os.environ.get('B', '')", ["B"]),
    "in": ("'B' in os.environ", ["B"]),
    "pop": ("os.environ.pop('A')", ["A"]),
    "setdefault": ("os.environ.setdefault('B', '2')", ["B"]),
    "items": ("dict(os.environ.items())", ["*"]),
    "iteration": ("list(os.environ)", ["*"]),
    "copy": ("os.environ.copy()", ["*"]),
    "repr": ("repr(os.environ)", ["*"]),
    "bytes": ("os.environb[b'A']; os.getenvb(b'B')", ["A", "B"]),
    "all bytes": ("list(os.environb)", ["*"]),
    "expandvars": ("os.path.expandvars('$A')", ["A"]),
    "patch.dict": ("with mock.patch.dict(os.environ, {'B': '2'}): pass", []),
    "patch.dict, cleared": (
        "with mock.patch.dict(os.environ, {'B': '2'}, clear=True): os.getenv('B')",
        ["B"],
    ),
    "patch.dict as a decorator": ("mock.patch.dict('os.environ', B='2')(lambda: os.environ['A'])()", ["A"]),
    "the machinery's": (
        "os.getenv('PYTEST_CURRENT_TEST'); os.getenv('PYTEST_XDIST_WORKER'); os.getenv('PYTEST_HOTRELOAD_X')",
        [],
    ),
}


@pytest.mark.parametrize(("body", "names"), VARIABLES.values(), ids=VARIABLES.keys())
def test_the_environment(body: str, names: list[str], root: Path) -> None:
    before = "from unittest import mock\nos.environ['A'] = '1'; begin(); _native.watch_environment(True)\n"
    rows = recorded(root, f"{before}{body}\nend()")
    assert [row[:3] for row in rows] == [("", "environ", name) for name in names]


def test_the_environment_is_as_before(root: Path) -> None:
    body = """
        import copy, traceback
        def run():
            for call in (lambda: os.environ["no"], lambda: os.environ[1], lambda: os.environb["x"],
                         lambda: os.environ.pop("no")):
                try: call()
                except Exception: traceback.print_exc()
            os.environ["X"] = "1"; assert os.getenvb(b"X") == b"1"; del os.environ["X"]
            assert copy.deepcopy(os.environ)["PATH"] == os.environ["PATH"]
    """
    run = "    run()\n"
    without = execute(root, body + run)
    assert without.count("Traceback") == 4
    assert execute(root, f"{body}    begin(); _native.watch_environment(True)\n    {run}") == without


def test_watching_the_environment_ends(root: Path) -> None:
    body = """
        before = os.environ.encodekey, os.environ.decodekey
        _native.watch_environment(True); _native.watch_environment(True)
        assert os.environ.encodekey is not before[0] and os.environ.decodekey is not before[1]
        begin(); os.getenv("A")
        _native.watch_environment(False)
        assert (os.environ.encodekey, os.environ.decodekey) == before
        os.getenv("B"); end()
    """
    assert [row[2] for row in recorded(root, body)] == ["A"]


def test_variables_have_owners_and_callers_none(root: Path) -> None:
    write(
        root,
        {
            "reads.py": "import os\ndef run(): os.getenv('A')\nos.getenv('B')",
            "caller/it.py": "import os\ndef run(): os.getenv('C')",
        },
    )
    body = """
        sys.path.insert(0, os.path.abspath("caller")); import it
        begin(collecting=True, callers=[os.path.abspath("caller")]); _native.watch_environment(True)
        _native.observe_for("someone")
        import reads
        reads.run(); it.run()
        end()
    """
    rows = [(short(root, row[0]), row[2]) for row in recorded(root, body) if row[1] == "environ"]
    assert rows == [("reads.py", "B"), ("reads.py", "A"), ("someone", "A")]
