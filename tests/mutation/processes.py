"""A random project whose tests start processes, which import its modules and read its data unobserved.

Nothing of that is seen by who observes the tests.
"""

from __future__ import annotations

from tests.mutation.project import TEST, Project, add

#: What the process runs: a program of the project, told which modules to use.
PROGRAM = '''"""The generated project's command."""
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("src", "../lib", "more", "../site-packages")]


def value(names):
    total = {constant}
    for name in names:
        try:
            total += importlib.import_module(name).value()
        except Exception:
            total += 50
    return total


if __name__ == "__main__":
    print(value(sys.argv[1:]))
'''

#: Ways to ask it, each an expression of its answer as text.
WAYS = (
    "subprocess.run({command}, capture_output=True, text=True).stdout",
    "subprocess.run(shlex.join({command}), shell=True, capture_output=True, text=True).stdout",
    "os.popen(shlex.join({command})).read()",
    "subprocess.run(['env', '-i', *{command}], capture_output=True, text=True).stdout",
    "asked(lambda: os.execv(sys.executable, {command}))",
    "asked(lambda: print(__import__('runpy').run_path({program!r})['value']({names!r}), flush=True))",
    "asked(lambda: spawned({command}))",
)

HELPERS = """
import os, shlex, subprocess, sys, tempfile

def spawned(command):
    os.waitpid(os.posix_spawn(command[0], command, dict(os.environ)), 0)

def asked(answer):
    with tempfile.TemporaryFile("w+") as file:
        pid = os.fork()
        if not pid:
            try:
                os.dup2(file.fileno(), 1)
                sys.stdout = open(1, "w")
                answer()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        file.seek(0)
        return file.read()
"""


class Processes(Project):
    """One test file imports its modules; the others ask a process."""

    def write_test(self, name: str) -> None:
        if name == "tests/test_a.py":
            super().write_test(name)
            return
        program = "tools/program.py"
        self.write(program, PROGRAM.format(constant=self.number()))
        names = self.random.sample(self.modules, 2)
        command = f"[sys.executable, {program!r}, *{names!r}]"
        way = self.random.choice(WAYS).format(command=command, program=program, names=names)
        uses = add(f"int({way} or 70)")
        text = TEST.format(
            imports=HELPERS, constant=self.number(), uses=uses, body="AT_IMPORT = 0\n", given="1"
        )
        self.write(name, text)
