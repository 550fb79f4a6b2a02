"""Installed packages and the project's surroundings: new imports, changed distributions, ``.env``."""

from __future__ import annotations

import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from .watching import Watching, write
from .watching import environment as environ

_FILES = {"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): pass\n"}


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment that finds what is installed here, by a ``.pth``; its interpreter."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    folders = dict.fromkeys([sysconfig.get_path("purelib"), *site.getsitepackages()])
    _packages(folder / "bin/python").joinpath("installed.pth").write_text("\n".join(folders))
    return folder / "bin/python"


def _packages(python: Path) -> Path:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return python.parent.parent / "lib" / version / "site-packages"


def _watching(tmp_path: Path, python: Path) -> Watching:
    return Watching(tmp_path, _FILES, python=str(python))


def test_a_new_third_party_import_is_added_to_the_template(tmp_path: Path, environment: Path) -> None:
    """It notes each import of itself: the rerun's own, the template's, and no more."""
    log = tmp_path / "imports.log"
    noting = f"with open({str(log)!r}, 'a') as file: file.write('imported\\n')\nVALUE = 1\n"
    packages = _packages(environment)
    write(
        packages,
        {"faraway/__init__.py": noting, "faraway-1.0.dist-info/METADATA": "Name: faraway\nVersion: 1.0\n"},
    )
    with _watching(tmp_path, environment) as watching:
        assert watching.shown().status == "PASS 2 passed"
        assert not log.exists()
        text = "import faraway\n\ndef test_{0}(): assert faraway.VALUE\n"
        notices = []
        for number in range(4):
            shown = watching.after({"test_a.py": text.format(number)})
            assert shown.ran == {f"test_a.py::test_{number}": "passed"}
            notices += shown.notices
        assert notices == ["new third-party import, warm from now on: faraway"]
        assert log.read_text().splitlines() == ["imported"] * 2
        assert watching.end() == 0


def test_what_earlier_runs_imported_late_is_warm_at_the_first_edit(tmp_path: Path, environment: Path) -> None:
    """Else the first edit would pay for it, and for a chain of fork points that is built anew."""
    # A file for each import: of two that append to one, the later depends on what the earlier wrote.
    imports = tmp_path / "imports"
    imports.mkdir()
    packages = _packages(environment)
    noting = f"import os\nopen(f'{imports}/{{os.getpid()}}', 'x').close()\n"
    write(
        packages,
        {"faraway.py": noting, "faraway-1.0.dist-info/METADATA": "Name: faraway\nVersion: 1.0\n"},
    )
    late = "import importlib\n\ndef test_{0}(): importlib.import_module('far' + 'away')\n"
    root = tmp_path / "project"
    write(root, {"test_a.py": late.format("a"), "test_b.py": late.format("b"), "pytest.ini": "[pytest]\n"})
    command = [str(environment), "-m", "pytest", "-p", "hotreload", "--hotreload", "--hotreload-slots=2"]
    subprocess.run(command, cwd=root, env=environ({}), check=True, stdout=subprocess.DEVNULL)
    for imported in imports.iterdir():
        imported.unlink()
    with Watching(tmp_path, python=str(environment), arguments=["--watch-first=none"]) as watching:
        assert watching.shown().ran == {}
        shown = watching.after({"test_a.py": late.format("edited")})
        assert shown.ran == {"test_a.py::test_edited": "passed"}
        assert shown.notices == []
        assert len(list(imports.iterdir())) == 1  # by the template
        assert watching.end() == 0


@pytest.mark.slow
def test_a_distribution_that_is_installed_means_a_new_template(tmp_path: Path, environment: Path) -> None:
    packages = _packages(environment)
    with _watching(tmp_path, environment) as watching:
        assert watching.shown().status == "PASS 2 passed"
        write(packages, {"nearby.py": "VALUE = 7\n"})
        write(packages, {"nearby-1.0.dist-info/METADATA": "Name: nearby\nVersion: 1.0\n"})
        watching.write({"test_a.py": "import nearby\n\ndef test_new(): assert nearby.VALUE == 7\n"})
        shown = watching.shown()
        assert shown.notices[0] == f"new template: {packages} changed"
        assert shown.ran["test_a.py::test_new"] == "passed"
        shown = watching.after({"test_b.py": "def test_more(): pass\n"})
        assert shown.ran == {"test_b.py::test_more": "passed"}
        assert shown.notices == []
        assert watching.end() == 0


def test_an_environment_file_means_a_new_template(tmp_path: Path) -> None:
    with Watching(tmp_path, {**_FILES, ".env": "A=1\n"}) as watching:
        assert watching.shown().status == "PASS 2 passed"
        shown = watching.after({".env": "A=2\n"})
        assert shown.notices[0] == "new template: .env changed"
        assert shown.status.startswith("PASS")
        shown = watching.after({"test_b.py": "def test_more(): pass\n"})
        assert shown.ran == {"test_b.py::test_more": "passed"}
        assert shown.notices == []
        assert watching.end() == 0
