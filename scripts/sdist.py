"""Builds the source distribution and a wheel from it, and compares that wheel with the checkout's wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def build_sdist(folder: Path) -> Path:
    maturin = Path(sys.executable).with_name("maturin")
    subprocess.run([maturin, "sdist", "--out", folder], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def build_wheel(archive: Path, folder: Path) -> Path:
    # Build from a folder: pip unpacks an archive under a random path, and cargo would compile all crates
    # again.
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    (source,) = (path for path in folder.iterdir() if path.is_dir())
    # The archive's files are old, so cargo would reuse what was compiled for the checkout, and prove nothing.
    for path in source.rglob("*.rs"):
        path.touch()
    # Without optimisation the crate takes 3 instead of 66 s of CPU time, and the wheel has the same files.
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(ROOT / "target"),
        "MATURIN_PEP517_ARGS": "--profile dev",
    }
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(source),
    ]
    subprocess.run(command, env=environment, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if "/sboms/" not in name}


def main(folder: str, wheel: str) -> int:
    archive = build_sdist(Path(folder).resolve())
    rebuilt = build_wheel(archive, Path(folder).resolve())
    different = contents(rebuilt) ^ contents(Path(wheel))
    if different or rebuilt.name != Path(wheel).name:
        print(
            f"error: the wheel from {archive.name} differs from {wheel}: {sorted(different)}", file=sys.stderr
        )
        return 1
    print(f"{archive.name}: builds the same {len(contents(rebuilt))} files as the checkout")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
