"""xdist's conventions: its option sets the number of slots, it never starts workers, and its hooks are called."""

from __future__ import annotations

import importlib.util

import pytest

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]

CONVENTION = {
    "conftest.py": """
        import os, pytest

        down = []

        @pytest.hookimpl(optionalhook=True)
        def pytest_configure_node(node):
            node.workerinput["database"] = "db_" + node.workerinput["workerid"]

        @pytest.hookimpl(optionalhook=True)
        def pytest_testnodedown(node, error):
            down.append((node.workerinput["database"], error, dict(getattr(node, "workeroutput", {}))))

        def pytest_sessionfinish(session):
            if hasattr(session.config, "workeroutput"):
                session.config.workeroutput["said"] = session.config.workerinput["workerid"]
            else:
                with open("down.txt", "w") as file:
                    for database, error, output in sorted(down, key=str): print(database, error, output, file=file)

        @pytest.fixture
        def database(request):
            return request.config.workerinput["database"]
    """,
    **{
        f"test_{n}.py": """
            import os, time

            def test_id(worker_id, testrun_uid, request):
                assert worker_id in ("gw0", "gw1")
                assert request.config.workerinput["workerid"] == worker_id
                assert request.config.workerinput["workercount"] == 2
                assert request.config.workerinput["testrunuid"] == testrun_uid
                assert os.environ["PYTEST_XDIST_WORKER"] == worker_id
                assert os.environ["PYTEST_XDIST_WORKER_COUNT"] == "2"
                assert os.environ["PYTEST_XDIST_TESTRUNUID"] == testrun_uid
                with open("ids.txt", "a") as file: print(worker_id, testrun_uid, file=file)
                time.sleep(0.2)

            def test_database(database, worker_id):
                assert database == "db_" + worker_id
        """
        for n in range(4)
    },
}

ALONE = {
    "conftest.py": """
        def pytest_configure(config):
            assert not hasattr(config, "workerinput")
    """,
    "test_a.py": """
        import os

        def test_master(worker_id, request):
            assert worker_id == "master"
            assert not hasattr(request.config, "workerinput")
            assert [name for name in os.environ if name.startswith("PYTEST_XDIST")] == []
    """,
}


@pytest.fixture(params=["xdist", "no xdist"])
def world(project, request):
    """With xdist loaded, and as if it were not installed."""
    if request.param == "xdist":
        pytest.importorskip("xdist", reason="pytest-xdist is not installed")
        project.plugins = ["xdist"]
    return project


def test_the_convention_is_whole(world):
    world.write(CONVENTION)
    ours = world.run(slots=2)
    assert ours.outcomes == {
        f"test_{n}.py::test_{name}": PASSED for n in range(4) for name in ("id", "database")
    }
    ids, uids = zip(*(line.split() for line in ours.read("ids.txt").splitlines()), strict=True)
    assert set(ids) == {"gw0", "gw1"}
    assert len(set(uids)) == 1
    down = ours.read("down.txt").splitlines()
    assert set(down) == {f"db_gw{n} None {{'said': 'gw{n}'}}" for n in range(2)}
    assert ours.status == 0


def test_one_slot_is_plain_pytests_world(world):
    world.write(ALONE)
    ours = world.run(slots=1)
    assert ours.outcomes == {"test_a.py::test_master": PASSED}


@pytest.fixture
def xdist(project):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    project.plugins = ["xdist"]
    project.write({f"test_{n}.py": f"def test_a(): pass\ndef test_b(): assert {n} < 2\n" for n in range(4)})
    # The option under test says the number of slots.
    command = type(project).command
    project.command = lambda args, slots: [
        word for word in command(project, args, slots) if not word.startswith("--hotreload-slots")
    ]
    return project


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-n2"], "2 slots"),
        (["-n", "3"], "3 slots"),
        (["-n0"], "1 slot"),
        (["-n1"], "1 slot"),
        (["-n2", "--dist=loadscope"], "2 slots"),
        (["-n2", "--maxprocesses=1"], "1 slot"),
        (["--numprocesses=2"], "2 slots"),
    ],
)
def test_its_option_is_the_number_of_slots(xdist, args, said):
    plain = xdist.run(slots=None)
    ours = xdist.run(*args, slots=1)
    header = next(line for line in ours.notices if line.startswith("hotreload: python"))
    assert f"· {said} " in header
    assert "created:" not in ours.output
    assert "[gw" not in ours.output
    assert ours.lines[-1] == "== 2 failed, 6 passed in TIME =="
    assert ours.lines == plain.lines


def test_our_own_option_comes_first(project):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    project.plugins = ["xdist"]
    project.write({"test_a.py": "def test_a(): pass\n"})
    ours = project.run("-n2", slots=3)
    assert ours.notices[0].startswith("hotreload: python")
    assert " · 3 slots " in ours.notices[0]


@pytest.mark.parametrize("number", ["2", "auto", "logical"])
def test_addopts_do_not_start_it(xdist, number):
    xdist.write({"pytest.ini": f"[pytest]\naddopts = -n {number}\n"})
    ours = xdist.run("-v", slots=1)
    assert "created:" not in ours.output
    assert "[gw" not in ours.output
    assert ours.lines[-1] == "== 2 failed, 6 passed in TIME =="
    assert ours.order == [f"test_{n}.py::test_{name}" for n in range(4) for name in "ab"]


def test_without_hotreload_xdist_is_itself(xdist):
    ours = xdist.run("-n2", slots=None)
    assert "created: 2/2 workers" in ours.raw
    assert ours.lines[-1] == "== 2 failed, 6 passed in TIME =="


def test_no_xdist_on_the_command_line(project):
    project.write(ALONE)
    project.write(
        {
            "test_a.py": "def test_a(worker_id): assert worker_id == 'gw0'\n",
            "test_b.py": "def test_b(): pass\n",
        }
    )
    project.write({"conftest.py": ""})
    if importlib.util.find_spec("xdist") is not None:
        project.plugins = ["xdist"]
    ours = project.run("-p", "no:xdist", slots=2)
    assert ours.outcomes == {"test_a.py::test_a": PASSED, "test_b.py::test_b": PASSED}


def test_plugins_that_ask_for_xdist_find_it(project):
    """Where it is not installed a plugin of its name stands in, with more than one slot."""
    project.write({
        "conftest.py": """
            def pytest_configure(config):
                config.found = config.pluginmanager.hasplugin("xdist")
        """,
        "test_a.py": "def test_a(request): assert request.config.found\n",
        "test_b.py": "def test_b(request): assert request.config.found\n",
    })  # fmt: skip
    assert project.run(slots=2).status == 0
    assert project.run(slots=1).status == 1


def test_named_by_its_module(project, slots):
    """`-p xdist.plugin` is xdist as well: what stands in for it is not registered beside it."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    project.plugins = ["xdist.plugin"]
    world = "gw" if slots > 1 else "master"
    project.write(
        {
            f"test_{n}.py": f"def test_it(worker_id): assert worker_id.startswith({world!r})\n"
            for n in range(2)
        }
    )
    ours = project.run(slots=slots)
    assert ours.status == 0, ours.raw
    assert ours.outcomes == {f"test_{n}.py::test_it": PASSED for n in range(2)}
