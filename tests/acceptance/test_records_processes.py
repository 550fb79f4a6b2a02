"""A test that starts a process depends on everything in the project, because the process is not observed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .keeping import Kept
from .reusing import ran, shown, why
from .watching import Watching

#: The project's own command: it reads data, and a module that may or may not be there.
_COMMAND = {
    "shop/__init__.py": "",
    "shop/__main__.py": "from shop import command\ncommand.main()\n",
    "shop/command.py": """\
        import os, pathlib
        try:
            import extra
        except ImportError:
            extra = None

        def main(rate=1):
            print(rate, pathlib.Path(__file__).with_name("rates.txt").read_text(), extra is not None)
        """,
    "shop/rates.txt": "3",
    "scripts/show.py": "import os, sys\nsys.path.insert(0, os.getcwd())\nfrom shop import command\ncommand.main()\n",
    "scripts/show": f"#!{sys.executable}\nexec(open('scripts/show.py').read())\n",
}

#: Ways to start it, as the body of a test.
_WAYS = {
    "module": "subprocess.run([sys.executable, '-m', 'shop'], check=True)",
    "script": "subprocess.run([sys.executable, 'scripts/show.py'], check=True)",
    "code": "subprocess.run([sys.executable, '-c', 'from shop import command; command.main()'], check=True)",
    "input": "subprocess.run([sys.executable], input=b'from shop import command; command.main()', check=True)",
    "bare": "subprocess.run([sys.executable, '-m', 'shop'], env={}, check=True)",
    "shell": "subprocess.run(f'{sys.executable} -m shop', shell=True, check=True)",
    "system": "assert os.system(f'{sys.executable} -m shop') == 0",
    "popen": "os.popen(f'{sys.executable} -m shop').read()",
    "env": "subprocess.run(['env', sys.executable, '-m', 'shop'], check=True)",
    "shebang": "subprocess.run(['scripts/show'], check=True)",
    "link": "os.symlink(sys.executable, tmp_path / 'cat') or subprocess.run([tmp_path / 'cat', '-m', 'shop'])",
    "other_path": (
        "os.symlink(sys.executable, tmp_path / 'cat') or "
        "subprocess.run(['cat', '-m', 'shop'], env={**os.environ, 'PATH': str(tmp_path)})"
    ),
    "asyncio": ("asyncio.run((lambda: wait(sys.executable, '-m', 'shop'))())"),
    "posix_spawn": (
        "os.waitpid(os.posix_spawn(sys.executable, [sys.executable, '-m', 'shop'], dict(os.environ)), 0)"
    ),
    "spawnv": "os.spawnv(os.P_WAIT, sys.executable, [sys.executable, '-m', 'shop'])",
    "fork": "os.waitpid(os.fork() or os.execv(sys.executable, [sys.executable, '-m', 'shop']), 0)",
    "pty": "pty.spawn([sys.executable, '-m', 'shop'], lambda fd: os.read(fd, 99))",
    "spawn_context": "join(multiprocessing.get_context('spawn').Process(target=job))",
    "fork_context": "join(multiprocessing.get_context('fork').Process(target=job))",
    "forkserver_context": "join(multiprocessing.get_context('forkserver').Process(target=job))",
    "pool": (
        "concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn')).submit(job).result()"
    ),
    "native": "assert ctypes.CDLL(None).system(f'{sys.executable} -m shop'.encode()) == 0",
    "native_and_other": (
        "subprocess.run(['true']) and ctypes.CDLL(None).system(f'{sys.executable} -m shop'.encode())"
    ),
    "left": "subprocess.Popen([sys.executable, '-m', 'shop'])",
}

_TEST = """\
import asyncio, concurrent.futures, ctypes, multiprocessing, os, pty, subprocess, sys

def job():
    from importlib import import_module
    import_module("".join(["shop", ".command"])).main()

def join(process):
    process.start()
    process.join()

async def wait(*command):
    process = await asyncio.create_subprocess_exec(*command)
    await process.wait()

def test_it(tmp_path):
    {body}
"""

_OTHERS = {
    "test_plain.py": "def test_plain(): pass\n",
    "test_true.py": "import subprocess\ndef test_it(): subprocess.run(['true'], check=True)\n",
    "test_cat.py": "import subprocess\ndef test_it(): subprocess.run(['cat', 'other.txt'], check=True)\n",
    "other.txt": "1",
}

_EDITS = {
    "the command": {"shop/command.py": "def main(rate=2): print(rate)\n"},
    "its data": {"shop/rates.txt": "4"},
    "a module that was missing": {"extra.py": "\n"},
    "a test file": {"test_plain.py": "def test_other(): pass\n"},
}
#: Those that the process has nothing to do with.
_UNRELATED = ("a test file",)
#: A fork that goes on as what it is tells what it reads.
_TOLD = {"test_fork_context.py"}
_REASON = "it started a process, and a project file changed"


@pytest.mark.slow
def test_an_edit_of_a_command_affects_each_test_that_starts_it(tmp_path: Path) -> None:
    ways = {f"test_{way}.py": _TEST.format(body=body) for way, body in _WAYS.items()}
    files = {**_COMMAND, **_OTHERS, **ways}
    kept = Kept(tmp_path, files)
    (kept.root / "scripts/show").chmod(0o755)
    first = kept.run(slots=2)
    assert first.status == 0, first.raw
    assert kept.affected() == {}
    for what, edit in _EDITS.items():
        kept.write(edit)
        affected = kept.affected()
        expected = (
            ways.keys() - _TOLD | edit.keys() & {"test_plain.py"} if what in _UNRELATED else ways.keys()
        )
        assert affected.keys() == expected, what
        assert affected["test_module.py"] == _REASON
        kept.write({name: files.get(name) for name in edit})
        assert kept.affected() == {}, what
    kept.write({"other.txt": "2"})
    assert kept.affected() == {
        **dict.fromkeys(ways.keys() - _TOLD, _REASON),
        "test_cat.py": "other.txt",
    }
    started = {
        name: kept.record(f"test_{name}.py")["started"]
        for name in ("code", "module", "script", "shell", "true")
    }
    assert started == {
        "code": ["python -c"],
        "module": ["python -m shop"],
        "script": ["python show.py"],
        "shell": ["sh"],
        "true": [],
    }


@pytest.mark.parametrize("written", [".coverage", "report.xml"])
def test_what_runs_write_about_themselves_affects_nothing(tmp_path: Path, written: str) -> None:
    kept = Kept(tmp_path, {**_COMMAND, "test_module.py": _TEST.format(body=_WAYS["module"])})
    arguments = ["--junitxml=report.xml"]
    kept.run(*arguments)
    kept.write({written: "other"})
    assert kept.affected(*arguments) == {}


def test_declared_processes_are_reused_while_the_project_stays(tmp_path: Path) -> None:
    mark = "\nimport pytest\npytestmark = pytest.mark.hotreload(depends=['shop/*.txt'])\n"
    kept = Kept(tmp_path, {**_COMMAND, "test_module.py": _TEST.format(body=_WAYS["module"]) + mark})
    kept.run()
    held = kept.run("--reuse=on", "-v")
    assert shown(held) == {"test_module.py::test_it": "reused"}, why(held)
    kept.write({"shop/command.py": "def main(): print(2)\n"})
    assert ran(kept.run("--reuse=on")) == {"test_module.py"}


def test_an_edited_command_runs_its_tests_in_a_watch(tmp_path: Path) -> None:
    files = {
        **_COMMAND,
        "test_plain.py": "def test_plain(): pass\n",
        "test_module.py": _TEST.format(body=_WAYS["module"]),
    }
    with Watching(tmp_path, files) as watching:
        watching.shown()
        for edit in (
            {"shop/command.py": "def main(): print(2)\n"},
            {"shop/rates.txt": "4"},
            {"extra.py": ""},
        ):
            assert watching.after(edit).files == ["test_module.py"]
        assert watching.after({"test_plain.py": "def test_2(): pass\n"}).files == [
            "test_module.py",
            "test_plain.py",
        ]
        assert watching.end() == 0
