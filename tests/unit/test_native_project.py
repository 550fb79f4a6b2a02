"""Closures, shared modules and quarantine of small projects on disk, partly compared with the interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from .projects import Scanned, Tree


def test_a_src_layout_in_the_order_of_import(tree: Tree, root: Path) -> None:
    tree(
        {
            "conftest.py": "import json",
            "src/pkg/__init__.py": "from . import core",
            "src/pkg/core.py": "import decimal\nfrom .sub import deep\nimport pkg.other",
            "src/pkg/other.py": "import csv",
            "src/pkg/sub/__init__.py": "",
            "src/pkg/sub/deep.py": "from .. import core, attribute\nfrom ..missing import x",
            "src/pkg/late.py": "import wave",
            "src/pkg/types.py": "",
            "tests/conftest.py": "import helper",
            "tests/helper.py": "",
            "tests/test_it.py": """
                from typing import TYPE_CHECKING
                import pkg
                if TYPE_CHECKING:
                    import pkg.types
                    import xml.dom
                def test():
                    import pkg.late
                    import ftplib
                import calendar
            """,
        }
    )
    scanned = Scanned(root, ["tests/test_it.py"], sys_path=[str(root / "src"), *sys.path[1:]])
    assert scanned.closure("tests/test_it.py") == [
        "conftest.py",
        "tests/conftest.py",
        "tests/helper.py",
        "tests/test_it.py",
        "src/pkg/__init__.py",
        "src/pkg/core.py",
        "src/pkg/sub/__init__.py",
        "src/pkg/sub/deep.py",
        "src/pkg/other.py",
        "src/pkg/late.py",
    ]
    assert scanned.third_party("tests/test_it.py") == (
        ["json", "typing", "decimal", "csv", "calendar"],
        ["wave", "ftplib"],
    )
    assert scanned.native.diagnostics() == []


def test_the_order_is_the_interpreter_s(tree: Tree, root: Path) -> None:
    tree(
        {
            "a/__init__.py": "from a import b\nfrom .c import value",
            "a/b.py": "import d.e\nfrom . import c",
            "a/c.py": "value = 1\nimport f",
            "d/__init__.py": "import f",
            "d/e.py": "class X:\n    import g\ntry:\n    import nothing\nexcept ImportError:\n    import h",
            "f.py": "try:\n    import g\nexcept ImportError:\n    import unused",
            "g.py": "import a",
            "h.py": "with open(__file__): import i",
            "i.py": "import importlib\nimportlib.import_module('j.k')",
            "j/k.py": "from l import m, n",
            "l/m.py": "",
            "l/n.py": "from . import m",
            "unused.py": "",
            "test_it.py": "import a",
        }
    )
    scanned = Scanned(root, ["test_it.py"])
    # Modules are entered into sys.modules anew when they are done: what counts is when each begins to run.
    script = """if True:
        import json, sys
        files = []
        sys.addaudithook(lambda event, args: event == "exec" and files.append(args[0].co_filename))
        import test_it
        print(json.dumps([file for file in files if file.startswith(sys.argv[1])]))
    """
    run = subprocess.run(
        [sys.executable, "-c", script, str(root)], cwd=root, check=True, stdout=subprocess.PIPE, text=True
    )
    began = [os.path.relpath(path, root) for path in json.loads(run.stdout)]
    assert [path for path in scanned.closure("test_it.py") if path != "unused.py"] == began


def test_links_in_the_order_of_discovery(tree: Tree, root: Path) -> None:
    tree(
        {
            "conftest.py": "import tools",
            "tools.py": "def f():\n    import late\nimport json",
            "late.py": "import tools",
            "pkg/__init__.py": "from . import a",
            "pkg/a.py": "import pkg.b\nimport pkg.a",
            "pkg/b.py": "",
            "unseen.py": "import tools",
            "test_it.py": "import pkg.b\nimport tools\nfrom pkg import b",
            "test_other.py": "import unseen",
        }
    )
    scanned = Scanned(root, ["test_it.py", "test_other.py"])
    links = scanned.native.links(str(root / "test_it.py"))
    assert [tuple(os.path.relpath(path, root) for path in link) for link in links] == [
        ("conftest.py", "tools.py"),
        ("tools.py", "late.py"),
        ("test_it.py", "pkg/__init__.py"),
        ("test_it.py", "pkg/b.py"),
        ("test_it.py", "tools.py"),
        ("pkg/__init__.py", "pkg/a.py"),
        ("pkg/a.py", "pkg/__init__.py"),
        ("pkg/a.py", "pkg/b.py"),
        ("late.py", "tools.py"),
    ]
    assert all(Path(path).is_absolute() for link in links for path in link)
    with pytest.raises(KeyError):
        scanned.native.links("test_unknown.py")


def test_links_by_each_test_file_s_own_search_path(tree: Tree, root: Path) -> None:
    tree(
        {
            "a/test_it.py": "import common",
            "a/helper.py": "",
            "b/test_it.py": "import common",
            "b/helper.py": "",
            "common.py": "import helper",
        }
    )
    scanned = Scanned(root, ["a/test_it.py", "b/test_it.py"], sys_path=[str(root), *sys.path[1:]])
    for folder in ("a", "b"):
        links = scanned.native.links(str(root / folder / "test_it.py"))
        assert [tuple(os.path.relpath(path, root) for path in link) for link in links] == [
            (f"{folder}/test_it.py", "common.py"),
            ("common.py", f"{folder}/helper.py"),
        ]


def test_same_names_without_packages(tree: Tree, root: Path) -> None:
    tree(
        {
            "a/test_it.py": "import helper",
            "a/helper.py": "import json",
            "b/test_it.py": "import helper\nimport only_a",
            "b/helper.py": "import csv",
            "a/only_a.py": "",
        }
    )
    tests = ["a/test_it.py", "b/test_it.py"]
    scanned = Scanned(root, tests)
    assert scanned.closure("a/test_it.py") == ["a/test_it.py", "a/helper.py"]
    # What only another test file's folder has is found there, since pytest leaves it on sys.path.
    assert scanned.closure("b/test_it.py") == ["b/test_it.py", "b/helper.py", "a/only_a.py"]
    assert scanned.third_party("a/test_it.py") == (["json"], [])
    appended = Scanned(root, tests, import_mode="append")
    assert appended.closure("b/test_it.py") == ["b/test_it.py", "b/helper.py", "a/only_a.py"]
    importlib = Scanned(root, tests, import_mode="importlib")
    assert importlib.closure("a/test_it.py") == ["a/test_it.py"]


def test_prepend_and_append_differ_in_who_wins(tree: Tree, root: Path) -> None:
    tree({"lib/helper.py": "", "tests/helper.py": "", "tests/test_it.py": "import helper"})
    path = [str(root / "lib"), *sys.path[1:]]
    closures = {
        mode: Scanned(root, ["tests/test_it.py"], sys_path=path, import_mode=mode).closure(
            "tests/test_it.py"
        )[1]
        for mode in ("prepend", "append", "importlib")
    }
    assert closures == {"prepend": "tests/helper.py", "append": "lib/helper.py", "importlib": "lib/helper.py"}


def test_packages_of_the_test_file_are_imported_before_it(tree: Tree, root: Path) -> None:
    tree(
        {
            "tests/__init__.py": "import json",
            "tests/unit/__init__.py": "",
            "tests/unit/conftest.py": "from .. import tools",
            "tests/tools.py": "",
            "tests/unit/test_it.py": "from . import near\nfrom tests.tools import x",
            "tests/unit/near.py": "",
        }
    )
    scanned = Scanned(root, ["tests/unit/test_it.py"])
    assert scanned.closure("tests/unit/test_it.py") == [
        "tests/__init__.py",
        "tests/unit/__init__.py",
        "tests/unit/conftest.py",
        "tests/tools.py",
        "tests/unit/test_it.py",
        "tests/unit/near.py",
    ]


def test_no_name_is_taken_for_another_s_beginning(tree: Tree, root: Path) -> None:
    tree(
        {"sql.py": "", "sqlalchemy_x/__init__.py": "", "test_it.py": "import sqlalchemy_x\nimport sqlalchem"}
    )
    assert Scanned(root, ["test_it.py"]).closure("test_it.py") == ["test_it.py", "sqlalchemy_x/__init__.py"]


def test_which_of_several_candidates_wins(tree: Tree, root: Path) -> None:
    tag = sysconfig.get_config_var("EXT_SUFFIX")
    tree(
        {
            "p/regular/__init__.py": "",
            "p/regular.py": "",
            "q/folder/x.py": "",
            "p/folder.py": "",
            "p/ns/one.py": "",
            "q/ns/two.py": "",
            f"p/ext{tag}": "",
            "p/ext.py": "",
            "p/ext2.abi3.so": "",
            "p/ext3.cpython-20-any.so": "",
            "test_it.py": """
                import regular, folder, ext, ext2, ext3
                import ns.one, ns.two, json, time
            """,
            "json.py": "",
            "time.py": "",
        }
    )
    path = [str(root / "q"), str(root / "p"), *sys.path[1:]]
    assert Scanned(root, ["test_it.py"], sys_path=path).closure("test_it.py") == [
        "test_it.py",
        "p/regular/__init__.py",
        "p/folder.py",
        f"p/ext{tag}",
        "p/ext2.abi3.so",
        "p/ns/one.py",
        "q/ns/two.py",
        # In front of the standard library's; `time` is compiled into the interpreter and comes before all.
        "json.py",
    ]


def test_where_third_party_begins(tree: Tree, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "far").mkdir(parents=True)
    (outside / "far" / "__init__.py").touch()
    tree(
        {
            "venv/pyvenv.cfg": "",
            "venv/lib/thing/__init__.py": "import firsts",
            "venv/lib/thing/sub.py": "",
            "site/packed.abi3.so": "",
            "site/packed2.py": "",
            "firsts.py": "",
            "editable/inner/__init__.py": "",
            "editable/single.py": "",
            "test_it.py": """
                import thing, packed
                from thing import sub, attribute
                import packed2.nothing
                import far
                import inner, single, os.path
            """,
        }
    )
    scanned = Scanned(
        root,
        ["test_it.py"],
        sys_path=[str(root / "venv/lib"), str(root / "site"), *sys.path[1:]],
        site_dirs=[str(root / "site")],
        editable={
            "far": str(outside / "far"),
            "inner": str(root / "editable/inner"),
            "single": str(root / "editable/single.py"),
        },
    )
    # An editable install beside the root is the user's own code, as one inside is.
    assert scanned.third_party("test_it.py") == (["thing", "packed", "thing.sub", "packed2", "os"], [])
    assert scanned.closure("test_it.py") == [
        "test_it.py",
        "../outside/far/__init__.py",
        "editable/inner/__init__.py",
        "editable/single.py",
    ]


def test_a_path_that_leads_through_a_link_is_first_party(tree: Tree, root: Path, tmp_path: Path) -> None:
    tree({"src/mine.py": "", "test_it.py": "import mine"})
    (tmp_path / "link").symlink_to(root / "src")
    scanned = Scanned(root, ["test_it.py"], sys_path=[str(tmp_path / "link"), *sys.path[1:]])
    assert scanned.third_party("test_it.py") == ([], [])
    assert len(scanned.closure("test_it.py")) == 2


def test_namespace_packages_are_considered_on_request(tree: Tree, root: Path) -> None:
    tree(
        {
            "ns/pkg/test_it.py": "import near\nfrom ns.pkg import far",
            "ns/pkg/near.py": "",
            "ns/pkg/far.py": "",
        }
    )
    path = [str(root), *sys.path[1:]]
    plain = Scanned(root, ["ns/pkg/test_it.py"], sys_path=path)
    assert plain.closure("ns/pkg/test_it.py") == ["ns/pkg/test_it.py", "ns/pkg/near.py", "ns/pkg/far.py"]
    considered = Scanned(root, ["ns/pkg/test_it.py"], sys_path=path, namespace_packages=True)
    assert considered.closure("ns/pkg/test_it.py") == ["ns/pkg/test_it.py", "ns/pkg/far.py"]


def test_a_package_by_itself(tree: Tree, root: Path) -> None:
    """No conftest and none of pytest's folders; what stands under a condition counts, what can't run does not."""
    files = {
        "conftest.py": "import csv",
        "shop/__init__.py": "import json",
        "shop/work.py": """
            import near
            from typing import TYPE_CHECKING
            if near:
                import wave
            match near:
                case _:
                    import colorsys
            if TYPE_CHECKING:
                import decimal
            def function():
                import fractions
        """,
        "shop/near.py": "",
    }
    tree(files)
    path = [str(root), *sys.path[1:]]
    tested = Scanned(root, ["shop/work.py"], sys_path=path)
    assert tested.third_party("shop/work.py")[0] == ["csv", "json", "typing"]
    package = Scanned(root, ["shop/work.py"], sys_path=path, import_mode="package")
    assert package.third_party("shop/work.py") == (["json", "typing", "wave", "colorsys"], ["fractions"])
