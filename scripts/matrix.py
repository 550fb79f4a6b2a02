"""Install the one built wheel under each installed Python, with each supported pytest; run the tests there.

    python scripts/matrix.py build/wheel/pytest_hotreload-….whl --inner 'tests/unit' -- tests/acceptance

What follows ``--inner`` runs between the oldest Python with the oldest pytest and the newest with the newest, where
all runs. An interpreter that is not installed is named as skipped. With ``--tested VERSION``, the combination of the
Python that runs this with that pytest is left out: the whole suite was run on it. The environments live in
.venv-matrix and are made again only when the wheel or what is installed beside it changed; each while the tests of
the one before run, since these wait more than they compute.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from extras import requirements

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "tests" / "constraints.txt"
ENVIRONMENTS = ROOT / ".venv-matrix"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PYTESTS = ("8.4.2", "9.2.0")
# pytest's exit statuses: every test passed, and no test was found.
EXIT_OK, EXIT_NOTHING = 0, 5


@dataclass(frozen=True)
class Combination:
    python: str
    interpreter: Path
    pytest: str

    @property
    def name(self) -> str:
        return f"python {self.python}, pytest {self.pytest}"

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / f"python{self.python}-pytest{self.pytest}"


def find_interpreter(version: str) -> Path | None:
    """A working Python of this version: pyenv's shims are on PATH even if their version is not installed."""
    name = f"python{version}"
    on_path = [Path(folder) / name for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in [*on_path, *sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]:
        if runs(candidate, version):
            return candidate
    return None


def runs(interpreter: Path, version: str) -> bool:
    if not interpreter.exists():
        return False
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


def fingerprint(combination: Combination, wheel: Path) -> str:
    digest = hashlib.sha256()
    for part in (wheel.read_bytes(), CONSTRAINTS.read_bytes(), "\n".join(requirements(["test"])).encode()):
        digest.update(part)
    digest.update(str(combination).encode())
    return digest.hexdigest()


def prepare(combination: Combination, wheel: Path) -> None:
    """Create the environment, with the wheel and the plugins for the tests."""
    stamp = combination.folder / "installed.stamp"
    wanted = fingerprint(combination, wheel)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(combination.folder, ignore_errors=True)
    # This interpreter's pip installs, and most modules are never imported: with a pip of its own and compiled modules,
    # an environment takes 12 instead of 3 s of CPU time.
    subprocess.run([combination.interpreter, "-m", "venv", "--without-pip", combination.folder], check=True)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", combination.folder / "bin" / "python"]
    install = [*pip, "install", "--quiet", "--no-compile", "--only-binary", ":all:", "-c", CONSTRAINTS]
    subprocess.run([*install, f"pytest=={combination.pytest}", f"{wheel}[test]"], check=True)
    stamp.write_text(wanted)


def run(combination: Combination, arguments: Sequence[str]) -> str:
    """Run the tests, and return the outcome in one line, which starts with "failed" on failure."""
    started = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # Not "python -m pytest": that would put the checkout, which has no extension module, on sys.path.
    command: list[str | Path] = [
        combination.folder / "bin" / "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *arguments,
    ]
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    seconds = time.perf_counter() - started
    if status == EXIT_NOTHING:
        return "failed: no test was found"
    return f"{'passed' if status == EXIT_OK else f'failed with exit status {status}'} in {seconds:.0f} s"


def run_all(
    combinations: Sequence[Combination], wheel: Path, tests: list[str], inner: list[str]
) -> list[str]:
    """Run all combinations, and return one line for each."""
    summary = []
    with ThreadPoolExecutor(max_workers=1) as workers:
        ready: list[Future[None]] = [workers.submit(prepare, each, wheel) for each in combinations]
        for number, (each, prepared) in enumerate(zip(combinations, ready, strict=True)):
            is_outermost = number in (0, len(combinations) - 1)
            is_whole = is_outermost or inner == tests
            print(f"--- {each.name}{'' if is_whole else ', in part'}", flush=True)
            try:
                prepared.result()
            except subprocess.CalledProcessError as error:
                summary.append(f"{each.name}: failed to install: exit status {error.returncode}")
                continue
            summary.append(f"{each.name}: {run(each, tests if is_outermost else inner)}")
    return summary


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--inner", metavar="ARGUMENTS", help="of pytest; all of TESTS if it is not given")
    parser.add_argument("--tested", metavar="VERSION", default="", help="of pytest, with this Python")
    parser.add_argument("tests", nargs="+")
    chosen = parser.parse_args(arguments)
    wheel = chosen.wheel.resolve()
    inner = chosen.tests if chosen.inner is None else shlex.split(chosen.inner)
    tested = ("{}.{}".format(*sys.version_info), chosen.tested)
    found = {version: find_interpreter(version) for version in PYTHONS}
    summary = [f"skipped: python {version} is not installed" for version in PYTHONS if found[version] is None]
    combinations = [
        Combination(version, interpreter, pytest)
        for version, interpreter in found.items()
        for pytest in PYTESTS
        if interpreter is not None and (version, pytest) != tested
    ]
    if chosen.tested:
        summary.append(f"python {tested[0]}, pytest {tested[1]}: left out, all tests ran on it")
    summary += run_all(combinations, wheel, chosen.tests, inner)
    print("\n".join(["--- matrix", *summary]))
    return 1 if any(": failed" in line for line in summary) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
