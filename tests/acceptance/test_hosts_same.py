"""Hosts on this machine: the results equal plain pytest's, whichever host ran a file."""

from __future__ import annotations

import re
import signal
import time

import pytest

from . import sample
from .hosting import FAILED, PASSED, TWO
from .ports import free_port
from .processes import Process, Terminal, until

pytest.importorskip("xdist", reason="--tx is pytest-xdist's")


@pytest.fixture(autouse=True)
def _xdist(project):
    project.plugins = ["xdist"]


@pytest.mark.slow
def test_every_kind_of_outcome(project):
    project.write(sample.FILES)
    plain, ours = project.same("-v", "--junitxml=out.xml", "--log-file=log.txt", slots=1, extra=[TWO])
    assert ours.outcomes == sample.OUTCOMES
    assert re.fullmatch(
        r"hotreload: python \S+ · 2 hosts: popen #1 \(1 slot\), popen #2 \(1 slot\) · each file in a fork",
        ours.notices[0],
    )
    assert ours.notices[-1] == "hotreload: 4 files in 4 children on 2 hosts"
    assert sum("get no records" in line for line in ours.notices) == 1
    times = re.compile(r'(time|timestamp)="[^"]*"')
    assert times.sub("", ours.read("out.xml")) == times.sub("", plain.read("out.xml"))
    assert ours.read("log.txt") == plain.read("log.txt")
    assert "logged in setup" in plain.read("log.txt")
    again, _ = project.same("--lf", "-s", slots=1, extra=[TWO])
    assert len(again.order) == sum(any(o == "failed" for _, o in each) for each in sample.OUTCOMES.values())


@pytest.mark.slow
def test_stopping(project):
    project.write({f"test_{n}.py": f"def test_a(): pass\ndef test_b(): assert {n} < 2\n" for n in range(6)})
    for option, failures in (("-x", 1), ("--maxfail=2", 2)):
        _, ours = project.same("-v", option, slots=2, extra=[TWO])
        assert f"!! stopping after {failures} failures !!" in ours.lines[-1] or ours.status == 1
        assert len(ours.order) == 4 + 2 * failures


@pytest.mark.slow
def test_one_interrupt(project):
    project.write({
        "test_a.py": """
            import pytest, time

            @pytest.fixture
            def door():
                yield
                print("shut", file=open("door.txt", "a"))

            def test_first(): pass
            def test_sleeps(door):
                open("asleep", "w").close()
                time.sleep(120)
            def test_never(): pass
        """,
        "test_b.py": "def test_never(): pass\n",
    })  # fmt: skip
    results = []
    for slots, extra in ((None, []), (1, ["--tx=popen//env:RECORDER_OUT=/dev/null"])):
        with Process(project, "-v", *extra, slots=slots) as process:
            until((process.root / "asleep").exists, "the test that sleeps")
            until(lambda: "test_first PASSED" in process.text, "the first result")
            time.sleep(0.3)  # an interrupt in the middle of a report would cut that off
            process.send(signal.SIGINT, group=True)
            results.append(process.result())
            until(lambda: not process.alive(), "nothing alive", 3)
    plain, ours = results
    assert ours.lines == plain.lines
    assert ours.status == plain.status == 2
    assert ours.outcomes == plain.outcomes
    assert ours.read("door.txt") == plain.read("door.txt") == "shut\n"


CONVENTION = {
    "pytest.ini": "[pytest]\nhotreload_shared_fixtures = server\n",
    "conftest.py": """
        import os, pytest

        EARLY = os.environ.get("PYTEST_XDIST_WORKER", "none")
        down = []

        @pytest.hookimpl(optionalhook=True)
        def pytest_configure_node(node):
            node.workerinput["database"] = "db_" + node.workerinput["workerid"]

        @pytest.hookimpl(optionalhook=True)
        def pytest_testnodedown(node, error):
            down.append((node.workerinput["workerid"], getattr(node, "workeroutput", {}).get("said")))

        def pytest_sessionfinish(session):
            if hasattr(session.config, "workeroutput"):
                session.config.workeroutput["said"] = os.environ.get("PYTEST_XDIST_WORKER")
            else:
                with open("down.txt", "w") as file:
                    for line in sorted(set(down)): print(*line, file=file)
    """,
    **{
        f"test_{n}.py": """
            import os, time
            from conftest import EARLY

            def test_id(worker_id, testrun_uid, request):
                assert EARLY == worker_id == os.environ["PYTEST_XDIST_WORKER"]
                assert request.config.workerinput["database"] == "db_" + worker_id
                assert request.config.workerinput["workercount"] == 4
                assert os.environ["PYTEST_XDIST_WORKER_COUNT"] == "4"
                with open("ids.txt", "a") as file: print(worker_id, testrun_uid, file=file)
                while len(open("ids.txt").readlines()) < 4: time.sleep(0.01)
        """
        for n in range(4)
    },
}


def test_worker_ids_are_those_of_all_hosts(project):
    """Each of the four slots gets one file, since none ends before all have begun."""
    project.write({name: text for name, text in CONVENTION.items() if name != "pytest.ini"})
    ours = project.run(TWO, slots=2)
    assert ours.outcomes == {f"test_{n}.py::test_id": PASSED for n in range(4)}
    ids = [line.split() for line in ours.read("ids.txt").splitlines()]
    assert sorted(worker for worker, _ in ids) == ["gw0", "gw1", "gw2", "gw3"]
    assert len({uid for _, uid in ids}) == 1
    assert ours.read("down.txt") == "".join(f"gw{n} gw{n}\n" for n in range(4))
    assert [line for line in ours.notices if "popen #1" in line][1:] == [
        "hotreload: popen #1: conftest.py reads the worker id early, so each slot collects in its own process"
    ]


@pytest.mark.slow
def test_deaths_ports_and_late_errors(project):
    """What a controller does for its children a host does for its own; a port is shared by all hosts of a machine."""
    project.write({
        "pytest.ini": "[pytest]\nhotreload_shared_fixtures = server\n",
        "conftest.py": """
            import pytest

            @pytest.fixture(scope="session")
            def server():
                yield 1
                raise OSError("the server")
        """,
        "test_dies.py": "import os\ndef test_a(server): pass\ndef test_dies(): os._exit(0)\ndef test_b(): pass\n",
        "test_debugs.py": "def test_stops(): breakpoint()\n",
        "test_slow.py": "import time\ndef test_slow(): time.sleep(120)\n",
        **{
            f"test_port_{n}.py": """
                import os, socket, time

                def test_binds():
                    with socket.socket() as server:
                        server.bind(("127.0.0.1", int(open("port").read())))
                        server.listen()
                        open(f"bound-{os.getpid()}", "w").close()
                        time.sleep(0.5)
            """
            for n in range(2)
        },
    })  # fmt: skip
    project.each(lambda root: (root / "port").write_text(str(free_port())))
    ours = project.run(TWO, "--hotreload-timeout=3", slots=3)
    assert ours.outcomes == {
        "test_debugs.py::test_stops": FAILED[:2],
        "test_dies.py::test_a": PASSED,
        "test_dies.py::test_dies": [("call", "failed")],
        "test_dies.py::test_b": PASSED,
        "test_port_0.py::test_binds": PASSED,
        "test_port_1.py::test_binds": PASSED,
        "test_slow.py::test_slow": [("call", "failed"), ("teardown", "failed"), ("teardown", "failed")],
    }
    # The one way where a file of the other host has it, the other way where the host knows who has it.
    met = [
        line for line in ours.notices if line.endswith("the file ran again alone, and that result is used")
    ]
    assert len(met) == 1
    assert "address already in use" in met[0] or "tried to bind" in met[0]
    assert "the test took longer than --hotreload-timeout=3 s" in ours.output
    assert "OSError: the server" in ours.output
    assert "a host has no terminal; hint: run the file without --tx" in ours.output


def test_plugins_that_ask_whether_this_is_a_worker(project):
    """pytest-randomly takes its seed from the controller then; pytest-cov's own engine stays out."""
    for name in ("pytest_cov", "pytest_randomly"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    project.plugins = ["xdist", "pytest_cov", "randomly"]
    project.write({
        "shop.py": "def price(x):\n    if x:\n        return 1\n    return 2\n",
        **{
            f"test_{n}.py": f"import random, shop\ndef test_a(): assert shop.price({n % 2}), random.random()\n"
            for n in range(3)
        },
    })  # fmt: skip
    _, ours = project.same(
        "-v",
        "--cov=shop",
        "--cov-branch",
        "--cov-report=term-missing",
        "--randomly-seed=7",
        slots=1,
        extra=[TWO],
    )
    assert any(line.split()[:4] == ["shop.py", "4", "0", "2"] for line in ours.lines)
    ours = project.run(TWO, slots=1)
    assert ours.status == 0
    assert len(ours.order) == 3
    assert not [line for line in ours.notices if " was lost (" in line]


def test_a_terminal_shows_what_is_where(project):
    project.write({
        "test_a.py": "import os, time\ndef test_a():\n    while not os.path.exists('go'): time.sleep(0.02)\n"
    })  # fmt: skip
    with Terminal(project, TWO.replace("2*", ""), slots=1) as terminal:
        terminal.expect("1 host: popen (1 slot)")
        terminal.expect("running: popen: test_a.py")
        (terminal.root / "go").touch()
        terminal.expect("1 passed")
        assert terminal.end() == 0


@pytest.mark.slow
def test_messages_larger_than_all_buffers(project):
    """On the way there (node ids) and back (output); each goes in many pieces."""
    project.write({
        f"test_{n}.py": """
            import os, pytest

            @pytest.mark.parametrize("n", range(60), ids=lambda n: str(n) + "x" * 3000)
            def test_many(n): os.write(1, b"y" * 100000)
        """
        for n in range(2)
    })  # fmt: skip
    ours = project.run(TWO.replace("2*", ""), "-q", slots=2)
    assert ours.lines[-1] == "120 passed in TIME"
    assert ours.order == [f"test_{n}.py::test_many[{i}{'x' * 3000}]" for n in range(2) for i in range(60)]


@pytest.mark.slow
def test_records_know_nothing_of_hosts_but_failures(project):
    project.plugins.append("hotreload_young")
    project.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    project.write({
        "test_a.py": "def test_a(request): assert request.config.workerinput['workercount'] != 3\n",
        "test_b.py": "def test_b(): pass\n",
        "test_c.py": "def test_c(): pass\n",
    })  # fmt: skip
    project.run("test_a.py", "test_b.py", slots=2)
    ours = project.run(TWO.replace("2*", ""), slots=3)
    assert ours.outcomes == {
        "test_a.py::test_a": FAILED,
        "test_b.py::test_b": PASSED,
        "test_c.py::test_c": PASSED,
    }
    assert set(ours.json(".pytest_cache/v/hotreload/durations")) == {"test_a.py", "test_b.py", "test_c.py"}
    ours = project.run("--affected", slots=2)
    assert ours.order == ["test_a.py::test_a", "test_c.py::test_c"]


@pytest.mark.slow
def test_a_session_fixture_that_uses_the_worker_id(project, tmp_path):
    """A host with one slot has a worker id, too. Its files come one by one, so each child sets the fixture up."""
    project.environ["NOTES"] = str(tmp_path / "notes.txt")
    project.write({
        "conftest.py": """
            import os, pytest, time

            @pytest.fixture(scope="session")
            def named(worker_id):
                with open(os.environ["NOTES"], "a") as file:
                    file.write(f"{worker_id}\\n")
                time.sleep(0.2)
                return worker_id
        """,
        **{
            f"test_{name}.py": """
                import os, time
                def test_it(named, worker_id):
                    time.sleep(0.2)
                    assert named == worker_id == os.environ.get("PYTEST_XDIST_WORKER", "master")
            """
            for name in "abcdefgh"
        },
    })  # fmt: skip
    ours = project.run(TWO, slots=1)
    assert ours.lines[-1] == "== 8 passed in TIME =="
    made = (tmp_path / "notes.txt").read_text().split()
    assert (len(made), set(made)) == (8, {"gw0", "gw1"})
