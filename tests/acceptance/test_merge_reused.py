"""Shards that reuse unchanged results report so, and the merged result is complete."""

from __future__ import annotations

import json
import re
import shutil

from pytest_hotreload import cli
from pytest_hotreload.ci.results_file import declared, mismatch

from .keeping import Kept
from .reusing import shown

FILES = {f"test_{name}.py": f"def test_{name}(): assert 1\n" for name in "abcd"}


def test_a_whole_of_reused_and_run(tmp_path, monkeypatch, capsys):
    kept = Kept(tmp_path, FILES)
    kept.run()
    kept.write({"test_b.py": "def test_b(): assert 0\n", "test_c.py": "def test_c(): assert 2\n"})
    kept.run("--shard=1/2", "--shard-plan=plan.json")
    cache, restored = kept.root / ".pytest_cache", tmp_path / "restored"
    shutil.copytree(cache, restored)
    outcomes = {}
    for number in (1, 2):
        out = tmp_path / "out" / str(number)  # below the root it would be news to imports
        out.mkdir(parents=True)
        results = [
            f"--hotreload-json={out}/r.json",
            f"--junitxml={out}/j.xml",
            f"--hotreload-report={out}/r.html",
        ]
        result = kept.run(f"--shard={number}/2", "--shard-from=plan.json", "--reuse=on", *results)
        outcomes.update(shown(result))
        assert f"Shard {number} of 2, plan " in (out / "r.html").read_text()
        cache.rename(out / "cache")
        shutil.copytree(restored, cache)
    reused = {f"test_{name}.py::test_{name}": "reused" for name in "ad"}
    assert outcomes == {**reused, "test_b.py::test_b": "failed", "test_c.py::test_c": "passed"}

    monkeypatch.chdir(kept.root)
    whole = ["--json", "whole.json", "--junitxml", "whole.xml", "--records", "whole-cache"]
    assert cli.main(["merge", str(tmp_path / "out"), *whole]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"hotreload: 2 shards: 1 failed, 1 passed, 2 reused in .*", last)
    found = json.loads((kept.root / "whole.json").read_text())
    assert mismatch(found, declared(), strict=True) == ""
    assert {test["nodeid"] for test in found["tests"] if test["reused"]} == reused.keys()
    assert 'skipped="2"' in (kept.root / "whole.xml").read_text()

    # With what was merged nothing but the failure runs again.
    shutil.rmtree(cache)
    (kept.root / "whole-cache").rename(cache)
    again = shown(kept.run("--reuse=on"))
    assert again == {**reused, "test_b.py::test_b": "failed", "test_c.py::test_c": "reused"}
    assert json.loads((cache / "v/cache/lastfailed").read_text()) == {"test_b.py::test_b": True}
