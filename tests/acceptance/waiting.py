"""Watches whose rerun runs a test that waits."""

from __future__ import annotations

#: As long as the file ``wait`` is there, a test waits; a fixture writes when it goes, a process was started.
WAITS = {
    "test_waits.py": """
        import pathlib, subprocess, time, pytest

        @pytest.fixture
        def guarded():
            process = subprocess.Popen(["sleep", "600"])
            yield
            process.kill()
            process.wait()
            pathlib.Path("../torn-down").write_text("torn down")

        def test_waits(guarded):
            pathlib.Path("../waits").write_text("waits")
            while pathlib.Path("../wait").exists():
                time.sleep(0.01)
    """,
    "test_other.py": "def test_other(): pass\n",
}


def waiting(desk, kind):
    """Starts a watch whose test waits, in the process of the rerun or in a child, by ``kind``."""
    slots = "--hotreload-slots=2" if kind == "2-slots" else "--hotreload-slots=1"
    if kind == "in-place":
        desk.write(WAITS)
        desk.watch(slots)
        (desk.root.parent / "waits").unlink()
        (desk.root.parent / "torn-down").unlink()
        desk.write({"../wait": ""})
        desk.write({"test_waits.py": WAITS["test_waits.py"] + "\n"})
    else:
        desk.write(WAITS | {"../wait": ""})
        desk.start(desk.command("--watch", slots))
    desk.says("../waits", "waits")
    return desk.term
