"""Install the one built wheel under each installed Python, with each supported pytest; run the tests there.

    python scripts/matrix.py build/wheel/pytest_hotreload-….whl -- tests/acceptance

An interpreter that is not installed is named as skipped. The environments live in .venv-matrix and are made
again only when the wheel or what is installed beside it changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from extras import requirements

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "tests" / "constraints.txt"
ENVIRONMENTS = ROOT / ".venv-matrix"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PYTESTS = ("8.4.2", "9.2.0")
# pytest's own: every test passed, and none was found.
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
    """A Python of this version that runs: pyenv's shims are on PATH whether or not they lead anywhere."""
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
    """Make the environment, with the wheel and the plugins of the tests installed."""
    python = combination.folder / "bin" / "python"
    stamp = combination.folder / "installed.stamp"
    wanted = fingerprint(combination, wheel)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(combination.folder, ignore_errors=True)
    subprocess.run([combination.interpreter, "-m", "venv", combination.folder], check=True)
    install: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--only-binary",
        ":all:",
        "-c",
        CONSTRAINTS,
    ]
    subprocess.run([*install, f"pytest=={combination.pytest}", f"{wheel}[test]"], check=True)
    stamp.write_text(wanted)


def run(combination: Combination, wheel: Path, arguments: list[str]) -> str:
    """The outcome in one line; it starts with "failed" if it did."""
    print(f"--- {combination.name}", flush=True)
    prepare(combination, wheel)
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


def main(arguments: list[str]) -> int:
    wheel = Path(arguments[0]).resolve()
    tests = arguments[arguments.index("--") + 1 :]
    summary: list[str] = []
    for version in PYTHONS:
        interpreter = find_interpreter(version)
        if interpreter is None:
            summary.append(f"skipped: python {version} is not installed")
            continue
        for pytest in PYTESTS:
            combination = Combination(version, interpreter, pytest)
            summary.append(f"{combination.name}: {run(combination, wheel, tests)}")
    print("\n".join(["--- matrix", *summary]))
    return 1 if any(": failed" in line for line in summary) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
