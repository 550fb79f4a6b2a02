"""Hosts for tests: gateways to this machine, each with its own environment, folder or interpreter."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

#: Only the controller's events are compared with plain pytest's.
SILENT = "env:RECORDER_OUT=/dev/null"
TWO = f"--tx=2*popen//{SILENT}"

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
FAILED = [("setup", "passed"), ("call", "failed"), ("teardown", "passed")]

#: Each host says who it is: its pytest and its gateway, in files beside the tests.
WHO = """
    import os

    def pytest_configure():
        name = os.environ.get("HOST")
        if name:
            with open(f"{name}.pid", "w") as file: file.write(f"{os.getpid()} {os.getppid()}")
"""


def named(*names: str) -> list[str]:
    """``--tx`` for hosts that :data:`WHO` knows by these names."""
    return [f"--tx=popen//env:HOST={name}//{SILENT}" for name in names]


def pids(root: Path, name: str) -> tuple[int, int]:
    """(pytest, gateway) of a host."""
    pytest, gateway = (root / f"{name}.pid").read_text().split()
    return int(pytest), int(gateway)


def with_ssh(project: Any, home: Path) -> None:
    """A stand-in for ssh before all others on PATH: runs the command here, in another home with a bare environment.

    A host named ``nowhere`` can't be connected to, one named ``hangs`` does not answer, one
    whose name begins with ``apart`` has a network and a machine's name of its own.
    """
    folder = project.top / "bin"
    folder.mkdir()
    home.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(Path(__file__).with_name("recorder")), *filter(None, sys.path)])
    script = folder / "ssh"
    script.write_text(
        "#!/bin/sh\n"
        "# ssh -C HOST COMMAND\n"
        'if [ "$2" = nowhere ]; then echo "no route to host" >&2; exit 255; fi\n'
        f'cd "{home}" || exit 1\n'
        'if [ "$2" = hangs ]; then touch waits; exec sleep 300; fi\n'
        'case "$2" in apart*)\n'
        '    set -- "$1" "$2" "echo $2 > /proc/sys/kernel/hostname; $3"; ns="unshare -rnu";;\n'
        "esac\n"
        f'exec $ns env -i PATH="/usr/bin:/bin" HOME="{home}" PYTHONPATH="{path}" '
        'HOTRELOAD_ACCEPTANCE_TOKEN="$HOTRELOAD_ACCEPTANCE_TOKEN" FAR="$2" sh -c "$3"\n'
    )
    script.chmod(0o755)
    project.environ = {**project.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
