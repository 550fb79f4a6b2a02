"""A low limit on open files: one line with a hint, or fewer slots."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest


def run(tmp_path, allowed, *arguments):
    (tmp_path / "test_a.py").write_text("def test_a(): pass\n")
    (tmp_path / "test_b.py").write_text("def test_b(): pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "pytest_hotreload.plugin", "--hotreload", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    limit = (allowed, allowed)
    return subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
    )


@pytest.mark.parametrize(
    ("allowed", "slots", "line"),
    [
        (24, 2, "2 slots need 60 open files, but ulimit -n is 24; hint: ulimit -n 1024, or --no-hotreload"),
        (24, 1, "1 slot needs 50 open files, but ulimit -n is 24; hint: ulimit -n 1024, or --no-hotreload"),
        (
            70,
            9,
            "9 slots need 130 open files, but ulimit -n is 70; hint: ulimit -n 1024, or --hotreload-slots=3",
        ),
    ],
)
def test_too_few(tmp_path, allowed, slots, line):
    done = run(tmp_path, allowed, f"--hotreload-slots={slots}")
    assert (done.returncode, done.stdout, done.stderr.strip()) == (4, "", f"ERROR: hotreload: {line}")


def test_enough(tmp_path):
    """The figures hold, and without a number there are as many slots as fit."""
    done = run(tmp_path, 60, "--hotreload-slots=2")
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(tmp_path, 50)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^hotreload: python \S+ · 1 slot \(auto\)", done.stdout, re.MULTILINE)
