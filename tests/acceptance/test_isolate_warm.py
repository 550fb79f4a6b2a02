"""`isolate_imports`: the contents of the template, their order, and the messages about other modules."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import pytest_hotreload

from .isolating import Workshop, noted


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_imports_of_every_place_are_seen_and_no_broken_file_prevents_the_start(workshop):
    """Traps: one missing import, a syntax error, a PEP 701 f-string or a latin-1 file anywhere killed the boot; imports
    under `try`, `with`, `for`, `match` went unseen, those under TYPE_CHECKING were warmed, `from a.b import c` warmed
    only `a.b`."""
    asked = ["dotted.one.two", "in_typing", "in_function", "kept_out", "not_named"]
    seen = ("in_try", "in_with", "in_for", "in_match", "in_if", "in_class", "beside_pep", "beside_latin")
    workshop.write({
        **noted(*seen, "in_typing", "in_function", "dotted.one.two", "kept_out", "not_named"),
        "site-packages/dotted/__init__.py": "",
        "site-packages/dotted/one/__init__.py": "",
        "src/shop/__init__.py": "",
        "src/shop/places.py": """
            from typing import TYPE_CHECKING
            from dotted.one import two
            import kept_out
            try:
                import in_try
            except ImportError:
                pass
            with open(os.devnull):
                import in_with
            for _ in ():
                import in_for
            match 1:
                case 2:
                    import in_match
            if _:
                import in_if
            class Inner:
                import in_class
            if TYPE_CHECKING:
                import in_typing
            def late():
                import in_function
        """,
        "src/shop/missing.py": "import absent_module\nimport shop.absent\n",
        "src/shop/broken.py": "def half(:\n",
        "src/shop/pep701.py": 'import beside_pep\nx = f"{"a" + f"{1!r}"}"\n',
        "src/shop/latin.py": b"# -*- coding: latin-1 -*-\nx = '\xe9'\nimport beside_latin\n",
        "src/shop/odd.py": b"x = '\xe9'\n",
    })  # fmt: skip
    ran = workshop.run(
        f"""
        with isolate_imports("shop", ignored_modules=("kept_out",), include=("not_named",)) as environment:
            report(warm=warm(environment, *{[*seen, *asked]!r}), notices=environment.notices,
                   syntax=told(environment.exec(__import__, "shop.broken").result)[0])
        """
    )
    folder = workshop.source / "shop"
    pep = [] if sys.version_info >= (3, 12) else ["pep701.py:2"]  # there it is a syntax error as any other
    expected = [name for name in seen if name != "beside_pep" or not pep]
    assert ran.report["warm"] == [*expected, "dotted.one.two", "not_named"]
    assert ran.report["syntax"] == "SyntaxError"
    said = sorted(line.removeprefix(f"{folder}/").partition(": ")[0] for line in ran.report["notices"])
    assert said == sorted(["broken.py:1", "missing.py:1", "missing.py:2", "odd.py:1", *pep])
    assert (
        f"{folder}/missing.py:1: `absent_module` does not exist, so it is not warm" in ran.report["notices"]
    )
    assert ran.notices == [f"isolate_imports: {line}" for line in ran.report["notices"]]


ORDERED = [f"third_{name}" for name in ("zeta", "alpha", "mid", "beta", "last")]


@pytest.mark.parametrize("seed", ["1", "7"])
def test_the_order_is_that_of_the_source(workshop, seed):
    """Trap: set order decided the import order in the template."""
    workshop.write({
        **noted(*ORDERED),
        "src/shop/__init__.py": "import third_zeta\nfrom . import b",
        "src/shop/a.py": "import third_mid",
        "src/shop/b.py": "import third_alpha, third_mid",
        "src/shop/c/__init__.py": "import third_beta",
        "src/shop/c/d.py": "import third_last, third_zeta",
    })  # fmt: skip
    ran = workshop.run(
        """
        def order():
            from pytest_hotreload.process import adoption
            return [name for name in adoption.held().warmed if name.startswith("third_")]
        with isolate_imports("shop") as environment:
            report(order=environment.exec(order).result())
        """,
        PYTHONHASHSEED=seed,
    )
    assert ran.report["order"] == ORDERED


THREADS = """
    import ctypes, os
    PID = os.getpid()
    library, thread = ctypes.CDLL(None), ctypes.c_ulong()
    library.pthread_create(ctypes.byref(thread), None, ctypes.cast(library.pause, ctypes.c_void_p), None)
"""


def test_what_can_not_be_held_costs_itself_only_and_is_told(workshop):
    """Trap: "threads > 1 means unsafe" excluded numpy and its kin: native threads of an import are no reason.

    Python threads are, as is a failing or deadly import, one that would bring the package itself, and one whose
    variables the package sets."""
    reasons = {
        "starts_thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
        "raises": "raise RuntimeError('not today')",
        "exits": "import sys; sys.exit(3)",
        "kills": "import os; os.kill(os.getpid(), 9)",
    }
    workshop.write({
        **noted("before", "between", "after"),
        **{f"site-packages/{name}.py": text for name, text in reasons.items()},
        "site-packages/brings.py": f"import sys\nsys.path.append({str(workshop.source)!r})\nimport shop.inner\n",
        "site-packages/native_pool.py": THREADS,
        "site-packages/configured.py": "import os\nPID = os.getpid()\nMODE = os.environ.get('CONFIGURED_MODE')",
        "src/shop/__init__.py": "import before, starts_thread, raises, between, exits, kills, brings, native_pool\n"
        "import os\nopen('shop-was-run', 'w')\nos.environ['CONFIGURED_MODE'] = 'x'\nimport configured, after\n",
        "src/shop/inner.py": "",
    })  # fmt: skip
    ran = workshop.run(
        """
        with isolate_imports("shop") as environment:
            report(warm=warm(environment, "before", "between", "native_pool", "configured", "after"),
                   notices=environment.notices)
        """
    )
    assert ran.report["warm"] == ["before", "between", "native_pool", "after"]
    assert [line.split(" is not warm: ")[0] for line in ran.report["notices"]] == [
        "configured",
        "starts_thread",
        "raises",
        "exits",
        "kills",
        "brings",
    ]
    why = dict(line.split(" is not warm: ") for line in ran.report["notices"])
    assert why["raises"] == "its import failed: RuntimeError: not today"
    assert why["kills"] == "ended the process"
    assert why["brings"] == "it imports first-party code (shop)"
    assert not (workshop.top / "shop-was-run").exists()
    assert "CONFIGURED_MODE" in why["configured"]


LAYOUTS = {
    "src layout": ({"src/shop/__init__.py": "", "src/shop/work.py": "import third\n"}, ["src"], "shop"),
    "flat, beside a conftest": (
        {"shop/__init__.py": "", "shop/work.py": "import third\n", "conftest.py": "import never\n"},
        ["."],
        "shop",
    ),
    "namespace package in two places": (
        {"one/space/a.py": "import first\n", "two/space/sub/work.py": "from space import a\nimport third\n"},
        ["one", "two"],
        "space",
    ),
    "package in a namespace": ({"one/space/shop/work.py": "import third\n"}, ["one"], "space.shop"),
    "single module": ({"src/work.py": "import third\n"}, ["src"], "work"),
    "uses its neighbour": (
        {"src/shop/work.py": "import helper\n", "more/helper.py": "import third\n"},
        ["src", "more"],
        "shop",
    ),
    "installed": ({"site-packages/shop/work.py": "import third\n"}, [], "shop"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packages_of_every_layout(workshop, layout):
    files, path, name = LAYOUTS[layout]
    workshop.write({**noted("third", "first", "never"), **files})
    ran = workshop.run(
        f"""
        def own(): return [n for n in sys.modules if n.split(".")[0] in ("shop", "space", "work", "helper")]
        with isolate_imports({name!r}) as environment:
            report(warm=warm(environment, "third"), own=environment.exec(own).result(), notices=environment.notices)
        """,
        path=[*(workshop.top / entry for entry in path), workshop.site],
    )
    assert ran.report == {"warm": ["third"], "own": [], "notices": []}


def test_include_takes_modules_from_anywhere(workshop):
    workshop.write(
        {
            "src/shop.py": "",
            "vendored/inside/__init__.py": "",
            "vendored/inside/deep.py": "import os\nPID = os.getpid()\n",
        }
    )
    ran = workshop.run(
        """
        with isolate_imports("shop", include=("inside.deep", "nowhere")) as environment:
            report(warm=warm(environment, "inside.deep"), notices=environment.notices)
        """,
        path=[workshop.source, workshop.top / "vendored"],
    )
    assert ran.report == {
        "warm": ["inside.deep"],
        "notices": ["nowhere is not warm: its import failed: ModuleNotFoundError: No module named 'nowhere'"],
    }


@pytest.mark.parametrize("kind", ["path", "finder"])
def test_editable_installs(workshop, kind):
    """By a `.pth` file with a folder, and by one with a finder, as setuptools makes it."""
    workshop.write({**noted("third"), "work/shop/__init__.py": "", "work/shop/work.py": "import third\n"})
    finder = f"""
        import sys
        from importlib.util import spec_from_file_location
        MAPPING = {{"shop": {str(workshop.top / "work" / "shop")!r}}}
        class Finder:
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name in MAPPING:
                    place = MAPPING[name]
                    return spec_from_file_location(name, place + "/__init__.py", submodule_search_locations=[place])
        def install(): sys.meta_path.append(Finder)
    """
    line = (
        str(workshop.top / "work")
        if kind == "path"
        else "import __editable___shop_finder; __editable___shop_finder.install()"
    )
    workshop.write(
        {"site-packages/shop.pth": line + "\n", "site-packages/__editable___shop_finder.py": finder}
    )
    # A folder of installed packages is read for .pth files if the interpreter knows it as one.
    custom = f"import site\nsite.addsitedir({str(workshop.site)!r})\n"
    workshop.write({"boot/sitecustomize.py": custom})
    ran = workshop.run(
        """
        with isolate_imports("shop") as environment:
            report(warm=warm(environment, "third"), notices=environment.notices,
                   found=environment.exec(lambda: __import__("shop.work").__name__).result())
        """,
        path=[workshop.top / "boot"],
    )
    assert ran.report == {"warm": ["third"], "found": "shop", "notices": []}


def test_the_interpreter_is_this_one_whatever_is_on_the_path(workshop):
    """Trap: the interpreter was `python` from PATH, not `sys.executable`."""
    workshop.write({"src/shop/__init__.py": "", "bin/python": "#!/bin/sh\ntouch was-run\nexit 1\n"})
    for name in ("python", "python3"):
        (workshop.top / "bin" / name).write_text("#!/bin/sh\ntouch was-run\nexit 1\n")
        (workshop.top / "bin" / name).chmod(0o755)
    ran = workshop.run(
        """
        def which(): return sys.executable, list(sys.version_info), sys.flags.utf8_mode
        with isolate_imports("shop") as environment:
            report(same=environment.exec(which).result() == which())
        """,
        PATH=f"{workshop.top / 'bin'}{os.pathsep}{os.environ['PATH']}",
    )
    assert ran.report == {"same": True}
    assert not (workshop.top / "was-run").exists()


def test_a_file_in_the_folder_does_not_shadow_what_the_template_needs(workshop):
    workshop.write(
        {
            **noted("third"),
            "src/shop/__init__.py": "import third",
            "selectors.py": "raise SystemExit('shadowed')",
        }
    )
    ran = workshop.run(
        "with isolate_imports('shop') as environment: report(warm=warm(environment, 'third'))\n"
    )
    assert ran.report == {"warm": ["third"]}


def test_the_template_is_of_the_same_copy_as_the_host(workshop):
    """One that is worked on is first on the host's path, and is no part of the template's; another is installed."""
    ours = Path(pytest_hotreload.__file__).parent
    workshop.write(
        {
            **noted("third"),
            "src/shop/__init__.py": "import third",
            "site-packages/pytest_hotreload/__init__.py": "raise SystemExit('another copy')",
        }
    )
    (workshop.top / "checkout").mkdir()
    (workshop.top / "checkout" / "pytest_hotreload").symlink_to(ours)
    ran = workshop.run(
        "with isolate_imports('shop') as environment: report(warm=warm(environment, 'third'))\n",
        path=[workshop.top / "checkout", workshop.source, workshop.site],
    )
    assert ran.report == {"warm": ["third"]}


def test_many_modules_that_are_not_warm_are_one_line(workshop):
    """A large installed package imports many optional modules that do not exist."""
    optional = "".join(f"import absent_{n}\n" for n in range(28))
    workshop.write({"src/shop/__init__.py": "", "src/shop/optional.py": optional})
    ran = workshop.run(
        """
        with isolate_imports("shop") as environment:
            report(notices=environment.notices)
        """
    )
    assert len(ran.report["notices"]) == 28
    (line,) = ran.notices
    assert line == (
        "isolate_imports: 28 modules that shop imports are not warm; hint: the attribute `notices` of the environment "
        "lists them, and so does logging at level INFO"
    )
