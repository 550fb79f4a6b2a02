"""Builds wheels, checks each, and tries those that can run on this machine: all of Linux, or this Mac's own.

    python scripts/wheels.py build/wheels [TARGET...]

For Linux, zig, which is installed from the package index, is the linker and the C compiler of all targets, and brings
the C libraries that they are linked with. A wheel for macOS needs Apple's linker, and is built on a Mac. Rust's
standard library for each target comes from rustup. A target that rustup does not have here is named as skipped; any
other problem fails the build.
"""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matrix import PYTHONS, find_interpreter

ROOT = Path(__file__).parent.parent
#: A suite whose second file sees nothing of the first: it needs forks, the extension and the plugin's entry point.
TRIED = {
    "pytest.ini": "[pytest]\nhotreload = true\n",
    "test_one.py": "import os\ndef test_one(): os.environ['LEFT'] = 'x'\n",
    "test_two.py": "import os\ndef test_two(): assert 'LEFT' not in os.environ\n",
}
#: Symbols that the stable ABI does not list and that we use nevertheless, each with the reason.
BESIDE_THE_ABI = {
    "PySys_AddAuditHook": "documented, and the same from CPython 3.8 on; the ABI has no other way to observe files",
    "PyCode_Type": "only its address is taken; exported by every CPython",
}


@dataclass(frozen=True)
class Target:
    """One platform: Rust's name for it, and the tag that its wheel promises, or "" for the linker's own."""

    rust: str
    tag: str = ""

    @property
    def is_linux(self) -> bool:
        return "linux" in self.rust

    @property
    def runs_here(self) -> bool:
        """Whether this machine's interpreters can load the wheel: those of Linux are linked with glibc."""
        machine = platform.machine().replace("arm64", "aarch64")
        system = "unknown-linux-gnu" if platform.system() == "Linux" else "apple-darwin"
        return self.rust == f"{machine}-{system}"


#: glibc 2.17 is the oldest that Rust's standard library supports, and musl 1.2 the oldest that pip still knows.
TARGETS = (
    Target("x86_64-unknown-linux-gnu", "manylinux_2_17"),
    Target("aarch64-unknown-linux-gnu", "manylinux_2_17"),
    Target("x86_64-unknown-linux-musl", "musllinux_1_2"),
    Target("aarch64-unknown-linux-musl", "musllinux_1_2"),
    Target("aarch64-apple-darwin"),
    Target("x86_64-apple-darwin"),
)


@dataclass
class Built:
    """A wheel, with what each check said."""

    wheel: Path
    checks: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        return f"{self.wheel.name}  {self.wheel.stat().st_size / 2**20:.2f} MiB  {', '.join(self.checks)}"


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def output_of(
    command: Sequence[str | Path], cwd: Path = ROOT, allowed: Container[int] = (0,), **environ: str
) -> str:
    """Run a command with these variables changed, and return its output; exit with all it said if it fails."""
    environment = {name: each for name, each in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        command, cwd=cwd, env={**environment, **environ}, capture_output=True, text=True, check=False
    )
    if done.returncode not in allowed:
        sys.exit(f"error: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def add(target: Target) -> bool:
    """Install Rust's standard library for a target, unless it is there. Whether rustup has it."""
    if shutil.which("rustup") is None:
        return target.runs_here
    command = ["rustup", "target", "add", target.rust]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def build(target: Target, folder: Path) -> Path:
    """Build one wheel. maturin refuses a library that needs newer symbols than its tag promises."""
    with tempfile.TemporaryDirectory() as made:
        command = [tool("maturin"), "build", "--release", "--locked", "--target", target.rust, "--out", made]
        if target.is_linux:
            command += ["--zig", "--auditwheel", "check", "--compatibility", target.tag]
        # maturin calls zig as a module of the interpreter that is first on the path.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        output_of(command, PATH=path)
        (wheel,) = Path(made).glob("*.whl")
        return Path(shutil.move(wheel, folder / wheel.name))


def check(target: Target, wheel: Path) -> list[str]:
    """Check the symbols of the C library and of Python's stable ABI; exit with the reason if one is wrong."""
    if not target.is_linux:
        return [_check_abi(wheel)]
    return [_check_musl(wheel) if "musl" in target.rust else _check_glibc(target, wheel), _check_abi(wheel)]


def _check_glibc(target: Target, wheel: Path) -> str:
    said = " ".join(output_of([tool("auditwheel"), "show", wheel]).split())
    if f'"{target.tag}_' not in said:
        sys.exit(f"error: {wheel.name} is not consistent with {target.tag}: {said}")
    return f"auditwheel: {target.tag}"


def _check_musl(wheel: Path) -> str:
    """Read what the library needs: auditwheel looks for musl on this machine, and finds glibc."""
    from elftools.elf.elffile import ELFFile

    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        dynamic = ELFFile(io.BytesIO(archive.read(name))).get_section_by_name(".dynamic")
    needed = {tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"}
    if needed != {"libc.so"}:
        sys.exit(f"error: {wheel.name} needs {', '.join(sorted(needed))}, not only musl's libc.so")
    return "needs libc.so of musl only"


def _check_abi(wheel: Path) -> str:
    # Its status is 1 for any symbol beside the ABI.
    report = json.loads(output_of([tool("abi3audit"), "--report", wheel], allowed=(0, 1)))
    ((found,),) = (spec["wheel"] for spec in report["specs"].values())
    result = found["result"]
    foreign = set(result["non_abi3_symbols"]) - BESIDE_THE_ABI.keys()
    if foreign or not result["is_abi3_baseline_compatible"]:
        sys.exit(f"error: {wheel.name} is not built for {result['baseline']}: {sorted(foreign)} ({result})")
    return f"abi3audit: {result['baseline']}"


def attempt(wheel: Path) -> list[str]:
    """Install the wheel into a clean environment of each Python that is here, and run a suite."""
    found = {version: find_interpreter(version) for version in PYTHONS}
    return [f"runs on {version}" for version, each in found.items() if each is not None and runs(wheel, each)]


def runs(wheel: Path, interpreter: Path) -> bool:
    with tempfile.TemporaryDirectory() as made:
        folder, suite = Path(made, "environment"), Path(made, "suite")
        suite.mkdir()
        for name, text in TRIED.items():
            (suite / name).write_text(text)
        output_of([interpreter, "-m", "venv", folder])
        output_of([folder / "bin/pip", "install", "--quiet", "--only-binary", ":all:", wheel])
        said = output_of([folder / "bin/pytest"], cwd=suite)
        output_of([folder / "bin/pytest-hotreload", "--version"])
    if "hotreload: 2 files in" not in said or "2 passed" not in said:
        sys.exit(f"error: {wheel.name} did not run the suite as it should:\n{said}")
    return True


def main(folder: str, *wanted: str) -> int:
    here = [each for each in TARGETS if (each.is_linux if platform.system() == "Linux" else each.runs_here)]
    targets = [each for each in TARGETS if each.rust in wanted] if wanted else here
    unknown = set(wanted) - {each.rust for each in TARGETS}
    if unknown:
        sys.exit(f"error: {', '.join(sorted(unknown))}: not among {', '.join(each.rust for each in TARGETS)}")
    out = Path(folder).resolve()
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for target in targets:
        if not add(target):
            lines.append(f"skipped: rustup has no {target.rust} here")
            continue
        print(f"--- {target.rust}", flush=True)
        built = Built(build(target, out))
        built.checks += check(target, built.wheel)
        built.checks += attempt(built.wheel) if target.runs_here else ["not run: not this machine's platform"]
        lines.append(built.line)
    print("\n".join(["--- wheels", *lines]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
