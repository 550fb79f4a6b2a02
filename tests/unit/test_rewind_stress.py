"""The stress program on both engines, with every rewind verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_hotreload import _native

PROGRAM = Path(__file__).parents[1] / "rewind" / "stress.py"
#: Each takes 0.3 to 0.6 s of CPU, most of it for what the actions do.
REWINDS = int(os.environ.get("HOTRELOAD_REWINDS", "30"))
SEED = int(os.environ.get("HOTRELOAD_SEED", "1"))


@pytest.mark.timeout(60 + 5 * REWINDS)
@pytest.mark.parametrize("engine", ["userfaultfd", "pagemap"])
@pytest.mark.slow
def test_every_rewind_is_exact(engine: str, tmp_path: Path) -> None:
    reason = _native.rewind_self_test(engine)
    if reason is not None:
        pytest.skip(reason)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    program = [sys.executable, str(PROGRAM), engine, str(REWINDS), str(SEED)]
    run = subprocess.run(program, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert run.stdout, run.stderr
    found = json.loads(run.stdout)
    assert found["bad"] == [], f"seed {SEED}: {run.stderr}"
    assert (found["rewinds"], found["engine"], run.returncode) == (REWINDS, engine, 0)
