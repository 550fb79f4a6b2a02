"""The contenders: ways to run the same tests; those that run in parallel have the same number of slots."""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Cost, MeasurementError

OUTCOME = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected)\b")


@dataclass(frozen=True)
class Contender:
    name: str
    options: tuple[str, ...]
    # Whether pytest's cache, with everything learned about the suite, is removed before each run.
    forgets: bool = True

    def command(self, python: str, arguments: list[str]) -> list[str]:
        return [python, "-m", "pytest", "-q", *self.options, *arguments]

    def run(self, python: str, folder: Path, arguments: list[str]) -> tuple[Cost, dict[str, int]]:
        self._prepare(folder)
        cost, text = measure.run(self.command(python, arguments), folder)
        return cost, outcomes(text)

    def peak_memory(self, python: str, folder: Path, arguments: list[str]) -> int:
        self._prepare(folder)
        return measure.peak_memory(self.command(python, arguments), folder)

    def _prepare(self, folder: Path) -> None:
        if self.forgets:
            forget(folder / ".pytest_cache")


def forget(cache: Path) -> None:
    """Move a cache away, and remove it when this process ends.

    ext4 does not use the inodes of removed files again within a minute, and looks at each of them for every new
    file: after the removal of 1,000 records, the next run spent up to 0.7 s more on writing as many.
    """
    if cache.exists():
        away = tempfile.mkdtemp(prefix=".forgotten-", dir=cache.parent)
        atexit.register(shutil.rmtree, away, ignore_errors=True)
        cache.rename(Path(away, cache.name))


def outcomes(text: str) -> dict[str, int]:
    """The counts in pytest's last line."""
    last = text.strip().splitlines()[-1]
    found = {word: int(count) for count, word in OUTCOME.findall(last)}
    if not found:
        raise MeasurementError(f"no outcome in pytest's last line: {last}")
    return found


PLAIN = Contender("plain", ("-p", "no:hotreload", "-p", "no:xdist"))


def xdist(slots: int) -> Contender:
    return Contender("xdist", ("-p", "no:hotreload", f"-n{slots}", "--dist=loadfile"))


def hotreload(slots: int) -> Contender:
    return Contender("hotreload", ("-p", "no:xdist", "--hotreload", f"--hotreload-slots={slots}"))


def hotreload_again(slots: int) -> Contender:
    """pytest-hotreload with the data that earlier runs left in pytest's cache."""
    return Contender("hotreload, again", hotreload(slots).options, forgets=False)


def hotreload_forking(slots: int) -> Contender:
    """pytest-hotreload with a fork for each file."""
    return Contender("hotreload, forking", (*hotreload(slots).options, "--hotreload-rewind=off"))


def missing_plugins(python: str) -> dict[str, str]:
    """Name of a contender that cannot run -> the reason."""
    plugins = {"xdist": "xdist", "hotreload": "pytest_hotreload.plugin"}
    reasons = {}
    for name, module in plugins.items():
        done = subprocess.run(
            [python, "-c", f"import {module}"], capture_output=True, text=True, check=False, cwd="/"
        )
        if done.returncode != 0:
            reasons[name] = done.stderr.strip().splitlines()[-1]
    return reasons


def available(python: str, slots: int) -> tuple[list[Contender], dict[str, str]]:
    missing = missing_plugins(python)
    everyone = [PLAIN, xdist(slots), hotreload(slots), hotreload_forking(slots), hotreload_again(slots)]
    return [one for one in everyone if one.name.partition(",")[0] not in missing], missing
