"""Imports that lead nowhere, quarantined modules, repeated scans, and what a scan refuses."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from pytest_hotreload import _native

from .projects import Scanned, Tree


def test_imports_that_lead_nowhere_are_told_where_they_would_fail(tree: Tree, root: Path) -> None:
    tree(
        {
            "pkg/__init__.py": "",
            "pkg/work.py": """
                import absent.sub
                from . import work, gone
                from .lost import thing
                from ..above.it import thing
                try:
                    import no_matter
                except ImportError:
                    pass
                class Inner:
                    import also_absent
                def function():
                    import later
                if Inner:
                    import perhaps
            """,
        }
    )
    path = [str(root), *sys.path[1:]]
    scanned = Scanned(root, ["pkg/work.py"], sys_path=path, import_mode="package")
    file = str(root / "pkg" / "work.py")
    assert scanned.native.missing() == [
        (file, 2, "absent.sub"),
        (file, 4, ".lost"),
        (file, 5, "..above.it"),
        (file, 11, "also_absent"),
    ]
    tree({"pkg/work.py": "import json"})
    assert scanned.native.scan([file]) == []
    assert scanned.native.missing() == []


def test_a_handler_counts_if_its_try_fails(tree: Tree, root: Path) -> None:
    tree(
        {
            "test_it.py": """
                try:
                    import json
                except ImportError:
                    import csv
                try:
                    import no_such_module
                except ImportError:
                    import wave
            """
        }
    )
    assert Scanned(root, ["test_it.py"]).third_party("test_it.py") == (["json", "wave"], ["csv"])


def test_shared_modules_in_the_suite_s_order(tree: Tree, root: Path) -> None:
    tree(
        {
            "core.py": "import decimal\ndef f():\n    import ftplib",
            "test_a.py": "import csv\nimport core\nimport wave",
            "test_b.py": "import json\nimport core\nimport csv",
            "test_c.py": "import json\nimport calendar",
        }
    )
    scanned = Scanned(root, ["test_a.py", "test_b.py", "test_c.py"])
    assert scanned.shared("test_a.py", "test_b.py", "test_c.py") == ["csv", "decimal", "json"]
    assert scanned.shared("test_c.py", "test_b.py", "test_a.py") == ["json", "decimal", "csv"]
    assert scanned.shared("test_a.py") == []
    assert scanned.shared("test_a.py", minimum=1) == ["csv", "decimal", "wave"]


def test_quarantine(tree: Tree, root: Path) -> None:
    site = {
        f"site/{name}.py": ""
        for name in ("matplotlib", "seaborn", "prefect", "pure", "plug", "django", "mat")
    }
    tree(
        {
            **site,
            "site/asserting/__init__.py": "",
            "site/asserting/sub.py": "",
            "conftest.py": """
                import os, pytest
                pytest.register_assert_rewrite("asserting")
                pytest_plugins = ["plug"]
                def pytest_configure(config):
                    os.environ["MPLBACKEND"] = "Agg"
                os.environ["PREFECT_HOME"] = "x"
                os.environ["DJANGO_SETTINGS_MODULE"] = "y"
            """,
            "test_it.py": "import seaborn, pure, prefect, django, asserting.sub, json, mat\ndef f(): import matplotlib",
        }
    )
    scanned = Scanned(
        root, ["test_it.py"], sys_path=[str(root / "site"), *sys.path[1:]], site_dirs=[str(root / "site")]
    )
    assert scanned.quarantine("test_it.py") == {
        "plug": "a plugin, which pytest loads with its assertions rewritten (conftest.py:4)",
        "seaborn": "reads MPLBACKEND at import, which is set before (conftest.py:6)",
        "prefect": "reads PREFECT_HOME at import, which is set before (conftest.py:7)",
        "asserting.sub": "registered for assertion rewriting (conftest.py:3)",
        "matplotlib": "reads MPLBACKEND at import, which is set before (conftest.py:6)",
    }


def test_monkey_patching_quarantines_everything(tree: Tree, root: Path) -> None:
    tree(
        {
            "site/gevent/__init__.py": "",
            "site/gevent/monkey.py": "",
            "base.py": "from gevent import monkey; monkey.patch_all()",
            "test_it.py": "import base, json",
        }
    )
    scanned = Scanned(
        root, ["test_it.py"], sys_path=[str(root / "site"), *sys.path[1:]], site_dirs=[str(root / "site")]
    )
    reason = "gevent.monkey.patch_all() wants nothing imported before it (base.py:1)"
    assert scanned.quarantine("test_it.py") == {"gevent": reason, "gevent.monkey": reason, "json": reason}


def test_the_cache_answers_for_what_did_not_change(tree: Tree, root: Path) -> None:
    tree({"a.py": "import b", "b.py": "import json", "test_it.py": "import a"})
    cache = root / ".cache" / "deep" / "parse.json"

    def counts() -> dict[str, int]:
        scanned = Scanned(root, ["test_it.py"], cache_file=str(cache))
        scanned.native.save()
        assert scanned.closure("test_it.py") == ["test_it.py", "a.py", "b.py"]
        return scanned.native.statistics()

    assert counts() == {"files": 3, "parsed": 3, "cached": 0, "rejected": 0}
    assert counts() == {"files": 3, "parsed": 0, "cached": 3, "rejected": 0}
    stat = (root / "b.py").stat()
    tree({"b.py": "import wave"})
    os.utime(root / "b.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert counts() == {"files": 3, "parsed": 1, "cached": 2, "rejected": 0}
    assert len(json.loads(cache.read_bytes())["files"]) == 3
    assert [path.name for path in cache.parent.iterdir()] == ["parse.json"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "corrupt"), (b"{", "corrupt"), (b"\xff\0", "corrupt"), (b'{"version":0,"files":7}', "version 0")],
)
def test_a_bad_cache_is_ignored_with_one_line(content: bytes, reason: str, tree: Tree, root: Path) -> None:
    tree({"test_it.py": ""})
    cache = root / "cache"
    cache.write_bytes(content)
    scanned = Scanned(root, ["test_it.py"], cache_file=str(cache))
    [(path, line, text)] = scanned.native.diagnostics()
    assert (path, line) == (str(cache), None)
    assert text.startswith(f"parse cache ignored: {reason}")
    scanned.native.save()
    assert Scanned(root, ["test_it.py"], cache_file=str(cache)).native.statistics()["cached"] == 1


def test_an_unwritable_cache_is_an_oserror(tree: Tree, root: Path) -> None:
    tree({"test_it.py": "", "file": ""})
    scanned = Scanned(root, ["test_it.py"], cache_file=str(root / "file" / "cache"))
    with pytest.raises(OSError, match="file"):
        scanned.native.save()


def test_a_scan_sees_what_changed_since_the_last(tree: Tree, root: Path) -> None:
    tree({"test_it.py": "import a, b", "a.py": ""})
    scanned = Scanned(root, ["test_it.py"])
    assert scanned.closure("test_it.py") == ["test_it.py", "a.py"]
    tree({"b.py": "import json"})
    (root / "a.py").unlink()
    scanned.native.scan([str(root / "test_it.py")])
    assert scanned.closure("test_it.py") == ["test_it.py", "b.py"]


def test_wrong_arguments(tree: Tree, root: Path) -> None:
    tree({"test_it.py": ""})
    scanned = Scanned(root, ["test_it.py"])
    unknown = str(root / "other.py")
    for question in (scanned.native.closure, scanned.native.third_party, scanned.native.effects):
        with pytest.raises(KeyError, match="was not scanned"):
            question(unknown)
    with pytest.raises(KeyError, match="was not scanned"):
        scanned.native.shared([unknown])
    with pytest.raises(KeyError, match="was not scanned"):
        scanned.native.supply(unknown, [])
    with pytest.raises(ValueError, match="prepend, append, importlib, package"):
        Scanned(root, [], import_mode="other")
    with pytest.raises(ValueError, match="is not one of module, class"):
        scanned.native.supply(str(root / "test_it.py"), [(0, "a", None, "other", 1)])
    with pytest.raises(TypeError, match="not a string"):
        scanned.native.scan(str(root))


def test_files_that_are_missing_or_undecodable_names(root: Path, tree: Tree) -> None:
    tree({"test_it.py": "import json"})
    odd = os.fsdecode(os.fsencode(root) + b"/test_\xff.py")
    Path(odd).write_text("import csv")
    native = _native.Project(str(root), sys_path=sys.path[1:], stdlib=sys.stdlib_module_names, site_dirs=[])
    missing = str(root / "test_missing.py")
    assert native.scan([odd, missing]) == []
    assert native.closure(odd) == [odd]
    assert native.third_party(odd) == (["csv"], [])
    [(path, _, text)] = native.diagnostics()
    assert path == missing
    assert "No such file" in text


def test_many_files_are_no_matter(root: Path, tree: Tree) -> None:
    # A chain as long as the suite: no recursion, and nothing quadratic.
    count = 3_000
    tree({f"m{n}.py": f"import m{n + 1}\nimport m{n // 2}" for n in range(count)})
    tree({f"d{n}/test_it.py": f"import m{n}" for n in range(300)})
    tests = [f"d{n}/test_it.py" for n in range(300)]
    scanned = Scanned(root, tests, sys_path=[str(root), *sys.path[1:]])
    assert len(scanned.closure("d0/test_it.py")) == count + 1
    assert scanned.shared(*tests) == []
