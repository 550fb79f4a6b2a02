"""Files that a test looked for, in ways that raise no event of their own, and scripts of which bytecode is read."""

from __future__ import annotations

import os
import textwrap

import pytest

from .keeping import Kept, outcomes

#: What finds files of this name in all folders of `plugins`.
SEARCHES = {
    "glob": "glob.glob('plugins/*/plugin.toml')",
    "iglob": "list(glob.iglob(os.path.abspath('plugins/[a-z]/plugin.toml')))",
    "bytes": "glob.glob(b'plugins/?/plugin.toml')",
    "root_dir": "glob.glob('*/plugin.toml', root_dir='plugins')",
    "recursive": "glob.glob('plugins/**/plugin.toml', recursive=True)",
    "Path.glob": "list(Path('plugins').glob('*/plugin.toml'))",
    "Path.rglob": "list(Path('plugins').rglob('plugin.toml'))",
    "no wildcard": "glob.glob('plugins/a/plugin.toml') + glob.glob('plugins/b/plugin.toml')",
}


def test_a_name_behind_a_wildcard(tmp_path):
    tests = {
        f"test_{number}.py": "import glob, os\nfrom pathlib import Path\n\n"
        f"def test_it():\n    assert len({search}) == 1\n"
        for number, search in enumerate(SEARCHES.values())
    }
    files = {"plugins/a/plugin.toml": "", "plugins/a/notes.txt": "", "plugins/b/notes.txt": ""}
    kept = Kept(tmp_path, {**files, **tests, "test_none.py": "def test_it(): pass\n"})
    kept.run()
    assert kept.affected() == {}
    kept.write({"plugins/b/plugin.toml": ""})
    names = dict(zip(tests, SEARCHES, strict=True))
    assert [names[file] for file in kept.affected()] == list(SEARCHES)


LINKED = {
    "open": """\
        try: open(link / "local.ini")
        except FileNotFoundError: pass
        else: assert 0
        """,
    "list of files": """\
        import configparser
        assert len(configparser.ConfigParser().read([link / "one.ini", link / "local.ini"])) == 1
        """,
    "import": """\
        monkeypatch.syspath_prepend(link)
        try: import local
        except ImportError: pass
        else: assert 0
        """,
}


@pytest.mark.parametrize("how", LINKED)
def test_what_is_missing_behind_a_link_in_a_temporary_folder(tmp_path, how):
    kept = Kept(tmp_path, {
        "data/one.ini": "[one]\n",
        "test_a.py": "import os\n\ndef test_a(tmp_path, monkeypatch):\n"
        "    link = tmp_path / 'link'\n    link.symlink_to(os.path.abspath('data'))\n"
        + textwrap.indent(textwrap.dedent(LINKED[how]), "    "),
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    assert set(outcomes(kept.run()).values()) == {"passed"}
    assert kept.affected() == {}
    kept.write({"data/local.py": ""} if how == "import" else {"data/local.ini": "[local]\n"})
    assert outcomes(kept.run("--affected")) == {"test_a.py::test_a": "failed"}


LOADED = """\
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_loader

    def test_a():
        loader = SourceFileLoader("tool", {script!r})
        module = module_from_spec(spec_from_loader("tool", loader))
        loader.exec_module(module)
        assert module.value() == 1
    """


@pytest.mark.parametrize("script", ["bin/tool", "bin/tool.cgi", "bin/.tool", "bin/tool.x.cgi"])
@pytest.mark.parametrize("prefix", [None, "bytecode"])
def test_scripts_of_which_bytecode_is_read(tmp_path, script, prefix):
    """From the second run on, the source is not opened any more."""
    kept = Kept(tmp_path, {
        script: "def value():\n    return 1\n",
        "bin/other": "",
        "test_a.py": LOADED.format(script=script),
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    kept.environ["PYTHONDONTWRITEBYTECODE"] = ""
    if prefix:
        kept.environ["PYTHONPYCACHEPREFIX"] = str(tmp_path / prefix)
    # The bytecode of a source that is too young is no input that counts as unchanged.
    os.utime(kept.root / script, (1e9, 1e9))
    for _ in range(2):
        assert set(outcomes(kept.run()).values()) == {"passed"}
    assert kept.affected() == {}
    # Of another size: bytecode is told apart by whole seconds.
    kept.edit(script, "return 1", "return 1 + 1")
    assert outcomes(kept.run("--affected")) == {"test_a.py::test_a": "failed"}
