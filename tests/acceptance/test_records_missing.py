"""Files that a test looked for, in ways that raise no event of their own."""

from __future__ import annotations

from .keeping import Kept

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
