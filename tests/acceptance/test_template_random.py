"""Generated modules that the template imported equal, in each run, the modules that an import would give."""

from __future__ import annotations

import os
import subprocess
import sys
from random import Random

import pytest

from .serving import Place
from .watching import write

# ------------------------------------------------------------------------------- at random

#: What an installed module may ask, and what it sets: {} is a number.
_QUESTIONS = (
    "STATE.append(os.environ.get('V{}'))",
    "STATE.append(os.environ.setdefault('V{}', __name__))",
    "os.environ['V{}'] = __name__",
    "STATE.append('V{}' in os.environ)",
    "STATE.append(sorted((k, v) for k, v in os.environ.items() if k[:1] == 'V' and k[1:].isdigit()))",
    "STATE.append(os.path.basename(os.getcwd()))",
    "STATE.append(os.path.exists('file{}'))",
    "try:\n    import own{} as found\nexcept ImportError:\n    found = None\nSTATE.append(found and found.STATE)",
    "try:\n    STATE.append(open('file{}').read())\nexcept OSError:\n    STATE.append(None)",
    "if os.environ.get('V{}'):\n    import inst0\n    STATE.append(inst0.STATE)",
)
#: What a conftest or a test file does before it imports one.
_PREPARING = (
    "os.environ['V{}'] = 'conftest'",
    "os.environ.pop('V{}', None)",
    "sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'path{}'))",
    "sys.modules['own{}'] = types.SimpleNamespace(STATE='stand-in')",
    "os.chdir(os.path.dirname(os.path.abspath(__file__)))",
    "pass",
)
_MODULES, _NAMES = 6, 3


def _installed(random):
    """Generates installed modules that import each other and ask for inputs."""
    files = {}
    for number in range(_MODULES):
        lines = ["import os", "STATE = []"]
        asks = random.choices(_QUESTIONS, k=random.randint(0, 3))
        lines += [each.format(random.randrange(_NAMES)) for each in asks]
        for other in random.sample(range(number), min(number, random.randint(0, 2))):
            lines.insert(
                random.randint(2, len(lines)), f"import inst{other}\nSTATE.append(inst{other}.STATE)"
            )
        files[f"inst{number}.py"] = "\n".join(lines) + "\n"
    return files


def _case(random):
    """Generates a folder of tests that change inputs before they import."""

    def importing():
        steps = [
            random.choice(_PREPARING).format(random.randrange(_NAMES)) for _ in range(random.randint(0, 2))
        ]
        steps += [f"import inst{random.randrange(_MODULES)}" for _ in range(random.randint(0, 2))]
        random.shuffle(steps)
        return "import os, sys, types\n" + "".join(step + "\n" for step in steps)

    every = ", ".join(f"'inst{number}'" for number in range(_MODULES))
    shows = f"\ndef test_it():\n    for name in ({every}):\n        module = sys.modules.get(name)\n"
    shows += "        print('|', name, module and module.STATE)\n"
    shows += "    print('|', sorted((k, v) for k, v in os.environ.items() if k in ('V0', 'V1', 'V2')))\n"
    files = {"conftest.py": importing()}
    for number in range(_NAMES):
        if random.random() < 0.5:
            files[f"file{number}"] = "content"
            files[f"path{number}/own{number}.py"] = "STATE = 'own'\n"
    for name in "ab":
        files[f"test_{name}.py"] = importing() + shows
    return files


#: Per case: a fork that imports by itself, and forks of a fork that imported everything ahead.
_FORKS = """\
import os, runpy, sys
from pytest_hotreload.imports import analysis
from pytest_hotreload.process import adoption
from pytest_hotreload.process.import_inputs import Recorder
from pytest_hotreload.process.template import import_module, recording
sys.path[:0] = [{site!r}]
modules = ["inst%d" % number for number in range({modules})]

def seen(folder):
    runpy.run_path(folder + "/conftest.py")
    runpy.run_path(folder + "/test_a.py")
    shown = [(name, getattr(sys.modules.get(name), "STATE", None)) for name in modules]
    return repr((shown, sorted((k, v) for k, v in os.environ.items() if k in ("V0", "V1", "V2"))))

def in_fork(work):
    read, write = os.pipe()
    if not (pid := os.fork()):
        os.close(read)
        try:
            text = work()
        except BaseException as error:
            text = repr(error)
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text

def warm(folder):
    held = adoption.hold(Recorder())
    with recording(held.recorder):
        for name in modules:
            import_module(name)
    held.hold_back(set(sys.modules) - set(modules))
    return in_fork(lambda: seen(folder))

for number in range({cases}):
    folder = {root!r} + "/case%d" % number
    plain, ours = in_fork(lambda: seen(folder)), in_fork(lambda: warm(folder))
    if plain != ours:
        print(folder, plain, ours, sep="\\n")
"""


@pytest.mark.slow
def test_adopted_is_what_an_import_would_give(tmp_path):
    """Forks without pytest compare hundreds of generated cases in a few seconds."""
    seed, cases = int(os.environ.get("HOTRELOAD_SEED", "0")), int(os.environ.get("HOTRELOAD_FORKS", "300"))
    random, place = Random(seed), tmp_path / "lib/site-packages"
    write(place, _installed(random))
    for number in range(cases):
        write(tmp_path / f"case{number}", _case(random))
    program = _FORKS.format(site=str(place), root=str(tmp_path), modules=_MODULES, cases=cases)
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)


def test_at_random(site, tmp_path):
    """Plain pytest and attached runs of the same folder show the same, however often, and in whichever order."""
    random = Random(int(os.environ.get("HOTRELOAD_SEED", "0")))
    cases = [_case(random) for _ in range(int(os.environ.get("HOTRELOAD_CASES", "3")))]
    write(site, _installed(random))
    files = {f"case{n}/{name}": text for n, case in enumerate(cases) for name, text in case.items()}
    with Place(tmp_path, {"pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n", **files}) as place:
        place.environ["PYTHONPATH"] = str(site)
        place.serve()
        words = ("-q", "-s", "-p", "no:cacheprovider", "-p", "no:randomly")
        for turn in range(2):
            for number in range(len(cases)):
                plain = place.say("pytest", *words, f"case{number}")
                assert place.say("run", *words, f"case{number}") == plain, (turn, number)
                assert plain.out.count("| inst0") == 2
