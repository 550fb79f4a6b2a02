"""The Rust reader and the fallback agree, on CPython's own library and on generated source."""

from __future__ import annotations

import codecs
import os
import subprocess
import sys
import sysconfig
import textwrap
import threading
from pathlib import Path

import pytest

from pytest_hotreload.imports import fallback_parser

from .reading import assert_agree, project, written

#: Files of the library with syntax that the Rust parser does not know: f-strings of PEP 701, from 3.14 on
#: `except A, B`, and from 3.15 on lazy imports. Counted in 3.12.1 (3), 3.14.10 (5) and 3.15.2 (17).
_MAY_REJECT = 3 if sys.version_info < (3, 14) else 5 if sys.version_info < (3, 15) else 17


@pytest.mark.slow
def test_all_of_the_standard_library(tmp_path: Path) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    sources = {path.name: path.read_bytes() for path in sorted(library.glob("*.py"))}
    assert len(sources) > 150
    (tmp_path / "abc").mkdir()
    assert_agree(tmp_path / "abc", sources, may_reject=_MAY_REJECT)


SOURCES = {
    "plain": "import a, b.c as d\nfrom e import f, g as h\nfrom . import i\nfrom ..j.k import *\n",
    "contexts": """
        import module
        class A:
            import class_
            def method(self):
                import function
        if x:
            import conditional
        else:
            import conditional_too
        try:
            import try_
        except ImportError:
            import handler
        except ValueError:
            import conditional_handler
        else:
            import try_else
        finally:
            import final
        try:
            import not_guarded
        except (KeyError, OSError):
            pass
        try:
            import guarded
        except (KeyError, mod.ImportError):
            pass
        with x: import with_
        for i in x:
            import for_
        else:
            import for_else
        while x: import while_
        match x:
            case 1: import match_
        async def f():
            async with x: import in_async
            async for i in x: import in_async_for
        try:
            import star
        except* ImportError:
            import star_handler
        if True: import always
        if 0: import never
        else: import always_else
    """,
    "type checking": """
        if TYPE_CHECKING: import a
        else: import b
        if typing.TYPE_CHECKING: from c import d
        if not TYPE_CHECKING: import e
        else: import f
        if TYPE_CHECKING and x: import g
        if TYPE_CHECKING or x: import h
        def f():
            if TYPE_CHECKING: import i
    """,
    "dynamic": """
        x = importlib.import_module("a.b")
        y = import_module(".c", package="d.e")
        z = import_module("..f", "g.h")
        w = import_module(".i", __package__)
        __import__("j")
        np = pytest.importorskip("k", minversion="1")
        pytest.importorskip(modname="l")
        later = lambda: __import__("m")
        def f(x=__import__("n")): __import__("o")
        @importorskip("p")
        class A(import_module("q").B, metaclass=__import__("r").M): pass
        import_module(name); import_module("not a name"); import_module(f"{x}")
        [__import__("s") for _ in __import__("t")]
        f(g(__import__("u")))["v"].w(__import__("x"))
        import_module("...far", "a"); import_module("....far", "a")
    """,
    "plugins": """
        pytest_plugins = "a.b"
        pytest_plugins = ["c", "d", x]
        pytest_plugins: tuple = ("e",)
        pytest_plugins += ["f"]
        if x: pytest_plugins = {"g"}
        def f(): pytest_plugins = "h"
        import i
    """,
    "environment": """
        import os, os as system
        from os import environ as env, environ
        from unittest import mock
        import pytest, dotenv
        os.environ["A"] = "1"
        system.environ["B"], x = "1", 2
        env["C"] = environ["D"] = "1"
        os.environ.setdefault("E", "1"); os.environ.pop("F"); os.putenv("G", "1"); del os.environ["H"]
        os.environ.update(I="1"); os.environ.update({"J": "1", k: "1"}, **m); os.environ |= {"K": 1}
        os.environ.update(other); os.environ.update(dict(L=1)); os.environ |= dict(x, M=1)
        os.environ[key] = "1"
        mock.patch.dict(os.environ, {"N": "1"}).start(); mock.patch.dict("os.environ", O="1", clear=True)
        pytest.MonkeyPatch().setenv("P", "1"); patch = pytest.MonkeyPatch(); patch.delenv("Q")
        dotenv.load_dotenv(); os.environ.clear()
        def helper(): os.environ["R"] = "1"; deeper()
        def deeper(): os.environ["S"] = "1"
        def unused(): os.environ["T"] = "1"
        helper()
        def pytest_configure(config): os.environ["U"] = "1"
        def test(): os.environ["V"] = "1"
        if x: os.environ["W"] = "1"
        class A: os.environ["X"] = "1"
        try: pass
        except E: os.environ["Y"] = "1"
        environ = {}
        later = lambda: os.environ.pop("Z")
        os.environ.get("NO"); environ2["NO"] = 1; os.other["NO"] = 1
    """,
    "patches": """
        import sys, json, a.b, pytest, site
        from gevent import monkey
        import gevent.monkey, eventlet
        from unittest.mock import patch
        from . import settings
        json.dumps = None; a.b.c = 1; settings.DEBUG = True
        sys.modules["x"] = None; sys.modules[y] = None; sys.modules.pop("z"); del sys.modules["w"]
        setattr(json, "loads", None); setattr(json, name, None); setattr(local, "x", 1); delattr(json, "x")
        monkey.patch_all(); gevent.monkey.patch_ssl(); eventlet.monkey_patch()
        patch("m.n").start(); patch.object(json, "load").start(); p = patch("o"); patch.multiple("q", r=1).start()
        sys.path.insert(0, "x"); sys.path += ["y"]; sys.path[0:0] = ["z"]; site.addsitedir("w"); sys.path = []
        pytest.register_assert_rewrite("h1", "h2", h3)
        for json.x in y: pass
        (json.y, *sys.path) = z
        local.x = 1; json.z: int = 1; json.zz: int
    """,
    "lines": "\r\nimport a\r\n\r\nimport b\rimport c\n\x0cimport d\nx = '''\n\n'''; import e\nimport \\\n f\n",
    "mark": "\ufeffimport a\n",
    "empty": "",
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_each_construct(source: str, tmp_path: Path) -> None:
    if "except*" in source and sys.version_info < (3, 11):
        source = source.replace("except* ImportError", "except ImportError")
    text = textwrap.dedent(source).encode()
    assert fallback_parser.imports_of(str(written(tmp_path / "probe.py", text))).diagnostic is None
    assert_agree(tmp_path, {"test_it.py": text})


def test_what_the_contexts_and_effects_are(tmp_path: Path) -> None:
    # The two readers could agree on an error.
    source = SOURCES["contexts"].replace("except*", "except")
    path = written(tmp_path / "test_it.py", textwrap.dedent(source).encode())
    contexts = {module: context for _, module, _, context, _ in fallback_parser.imports_of(str(path)).imports}
    assert contexts["try_"] == contexts["try_else"] == contexts["guarded"] == "try"
    assert contexts["handler"] == contexts["star_handler"] == "handler"
    assert contexts["module"] == contexts["with_"] == contexts["for_"] == contexts["final"] == "module"
    assert contexts["not_guarded"] == contexts["always"] == contexts["always_else"] == "module"
    assert contexts["conditional"] == contexts["while_"] == contexts["match_"] == "conditional"
    assert (contexts["class_"], contexts["function"], contexts["never"]) == (
        "class",
        "function",
        "type_checking",
    )
    path = written(tmp_path / "test_it.py", textwrap.dedent(SOURCES["environment"]).encode())
    keys = [key for _, kind, key in fallback_parser.imports_of(str(path)).effects if kind == "environment"]
    assert sorted({*keys} - {"*"}) == list("ABCDEFGHIJKLMNOPQRSUWXY")


@pytest.mark.parametrize(
    ("content", "module"),
    [
        ("import ä\n".encode(), "ä"),
        ("# coding: latin-1\nimport ä\n".encode("latin-1"), "ä"),
        ("#!/x\n# -*- coding: iso-8859-1 -*-\nimport ä\n".encode("latin-1"), "ä"),
        ("# coding: cp1251\nimport ж\n".encode("cp1251"), "ж"),
        (codecs.BOM_UTF8 + "# coding: utf-8\nimport ä\n".encode(), "ä"),
        ("# coding: utf_8_sig\nimport ä\n".encode(), "ä"),
    ],
)
def test_encodings(content: bytes, module: str, tmp_path: Path) -> None:
    other = written(tmp_path / f"{module}.py", b"")
    path = str(written(tmp_path / "test_it.py", content))
    scanned = project(tmp_path)
    for rejected in scanned.scan([path]):
        scanned.supply(rejected, *fallback_parser.imports_of(rejected))
    assert scanned.scan([path]) == []
    assert (scanned.closure(path), scanned.diagnostics()) == ([path, str(other)], [])


UNREADABLE = {
    "syntax": (b"import a\ndef (:\n", 2, "SyntaxError"),
    "not UTF-8": (b"import a\nx = '\xff'\n", None, "SyntaxError"),
    "null byte": (b"import a\n\0", None, "null byte"),
    "unknown encoding": (b"# coding: nonsense\n", None, "nonsense"),
    "wrong cookie": (codecs.BOM_UTF8 + b"# coding: latin-1\n", None, "encoding problem"),
}


@pytest.mark.parametrize(("content", "line", "text"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_file_is_one_diagnostic(
    content: bytes, line: int | None, text: str, tmp_path: Path
) -> None:
    bad = str(written(tmp_path / "helper.py", content))
    test = str(written(tmp_path / "test_it.py", b"import helper\nimport other\n"))
    other = str(written(tmp_path / "other.py", b""))
    scanned = project(tmp_path, cache_file=str(tmp_path / "cache"))
    assert scanned.scan([test]) == [bad]
    assert [path for path, _, _ in scanned.diagnostics()] == [bad]
    scanned.supply(bad, *fallback_parser.imports_of(bad))
    assert scanned.scan([test]) == []
    assert scanned.closure(test) == [test, bad, other]
    [(path, at, why)] = scanned.diagnostics()
    assert path == bad
    assert text in why
    assert line is None or at == line
    # Not read a second time by the interpreter while the content is the same, and not cached for later.
    assert scanned.scan([test]) == []
    assert len(scanned.diagnostics()) == 1
    scanned.save()
    assert project(tmp_path, cache_file=str(tmp_path / "cache")).scan([test]) == [bad]


DEEP = {
    "lists": "[" * 100_000 + "]" * 100_000,
    "calls": "x = f" + "()" * 100_000,
    "attributes": "x = a" + ".b" * 100_000,
    "signs": "x = " + "~" * 100_000 + "1",
    "sums": "x = " + "a+" * 100_000 + "a",
    "open": "[" * 100_000,
    "choices": "x = " + "1 if 1 else " * 80_000 + "1",
    "branches": "if x: pass\n" + "elif x: pass\n" * 50_000,
    "functions": "x = " + "lambda:" * 100_000 + "1",
}


@pytest.mark.parametrize("source", DEEP.values(), ids=DEEP.keys())
def test_deep_nesting_ends_neither_reader(source: str, tmp_path: Path) -> None:
    path = written(tmp_path / "test_it.py", f"import_module('a')\n{source}\n".encode())
    script = """
        import sys
        from pytest_hotreload import _native
        from pytest_hotreload.imports import fallback_parser
        scanned = _native.Project(sys.argv[1], sys_path=[], stdlib=[], site_dirs=[])
        for path in scanned.scan([sys.argv[2]]):
            scanned.supply(path, *fallback_parser.imports_of(path))
        assert scanned.scan([sys.argv[2]]) == []
        assert len(fallback_parser.imports_of(sys.argv[2])) == 4
    """
    command = [sys.executable, "-I", "-c", textwrap.dedent(script), str(tmp_path), str(path)]
    assert subprocess.run(command, check=False).returncode == 0


def test_a_large_file_goes_to_the_fallback(tmp_path: Path) -> None:
    path = str(written(tmp_path / "test_it.py", b"import os\n" + b"#" * (1 << 20)))
    scanned = project(tmp_path)
    assert scanned.scan([path]) == [path]
    scanned.supply(path, *fallback_parser.imports_of(path))
    assert scanned.scan([path]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_no_thread_outlives_a_scan(tmp_path: Path) -> None:
    paths = [str(written(tmp_path / f"test_{number}.py", b"import a\n" * 50)) for number in range(200)]
    before = {entry.name for entry in Path("/proc/self/task").iterdir()}
    for _ in range(20):
        project(tmp_path).scan(paths)
        assert {entry.name for entry in Path("/proc/self/task").iterdir()} <= before
    pid = os.fork()
    if pid == 0:
        os._exit(0 if project(tmp_path).scan(paths) == [] else 1)
    assert os.waitpid(pid, 0) == (pid, 0)


def test_the_lock_is_released(tmp_path: Path) -> None:
    paths = [str(written(tmp_path / f"test_{number}.py", b"import a\n" * 2_000)) for number in range(100)]
    counts: list[int] = []

    def count() -> None:
        while not done.is_set():
            counts.append(1)

    done = threading.Event()
    thread = threading.Thread(target=count)
    thread.start()
    try:
        before = len(counts)
        project(tmp_path).scan(paths)
        assert len(counts) > before
    finally:
        done.set()
        thread.join()
