"""`isolate_imports`: the caller learns soon how a function ended, and no process of a call is left behind."""

from __future__ import annotations

import pytest

from .isolating import Ran, Workshop

PACKAGE = {
    "src/shop/__init__.py": "",
    "src/shop/work.py": """
        import clings, ctypes, os, signal, subprocess, sys, threading, time
        LONG = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(300)"]

        def leaves(code): sys.exit(code)
        def vanishes(code): print("before", flush=True); os._exit(code)
        def crashes(): print("so far", flush=True); ctypes.string_at(0)
        def kills_itself(number): os.kill(os.getpid(), number); time.sleep(300)
        def interrupted(): os.kill(os.getpid(), signal.SIGINT); time.sleep(300)

        class Odd(Exception):
            def __init__(self, lock): super().__init__("odd"); self.lock = lock
        class Constructed(Exception):
            def __init__(self, one, two): super().__init__("only this")
        def raises_odd(): raise Odd(threading.Lock())
        def raises_constructed(): raise Constructed(1, 2)
        def returns_lock(): return threading.Lock()
        def nested():
            found = []
            for _ in range(100_000): found = [found]
            return found
        def large(size): return b"x" * size
        def talks_for_ever():
            while True: print("x" * 10_000)

        def forks_and_returns():
            if os.fork() == 0: return "from the copy"
            os.wait()
            return "from the child"
        def forks_and_raises():
            if os.fork() == 0: raise ValueError("from the copy")
            os.wait()
            return "from the child"
        def prints_and_forks():
            sys.stdout.write("once ")
            if os.fork() == 0: os._exit(0)
            os.wait()
            sys.stdout.write("only")
        def leaks_grandchild():
            process = subprocess.Popen(LONG, stdout=subprocess.PIPE)
            process.stdout.readline()
            return process.pid
        def leaks_daemon():
            # Out of the group and the session, with the pipes of standard output in its hands.
            process = subprocess.Popen(LONG, stdout=None, start_new_session=True)
            while not open(f"/proc/{process.pid}/cmdline").read(): time.sleep(0.001)  # it is empty during the exec
            return process.pid
        def leaves_thread():
            threading.Thread(target=time.sleep, args=(300,), daemon=True).start()
            return "done"
        def leaves_stuck_thread():
            threading.Thread(target=time.sleep, args=(300,)).start()
            return "done"
        def writes(path):
            file = open(path, "w"); file.write("kept back"); globals()["held"] = file
        def registers(path):
            import atexit
            atexit.register(lambda: open(path, "w").write("left"))
        def nothing(*_): return os.getpid()
        def held_by_template():
            time.sleep(0.05)  # until it has closed what it handed to us
            return len(os.listdir(f"/proc/{os.getppid()}/fd"))
    """,
    # grpc's end of the interpreter hung in a fork: whoever runs the exit handlers of imported modules hangs too.
    # What it prints at its import stands in buffers when a child is forked.
    "site-packages/clings.py": """
        import atexit, ctypes, os, sys, time
        class Holds:
            def __del__(self): time.sleep(300)
        if "CLINGS" in os.environ:
            sys.stdout.write("banner ")
            ctypes.CDLL(None).printf(b"banner of C ")
            atexit.register(time.sleep, 300)
            sys.held = Holds()
    """,
}

PROGRAM = """
    from shop import work
    def alive(pid):
        try: os.kill(pid, 0)
        except OSError: return False
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"
    found, times = {}, {}
    with isolate_imports("shop", env={"CLINGS": "1"}) as environment:
        def run(function, *args, **kwargs):
            return environment.communicate_isolated(environment.exec(function, *args, **kwargs))
        def ends(function, *args, **kwargs):
            "Type, text without pid, what its attributes say; and how long it took."
            process, began = environment.exec(function, *args, **kwargs), time.monotonic()
            try: result = ["returned", process.result()]
            except BaseException as error:
                text = str(error).split("; hint: ")[0].replace(f" (pid {process.pid})", "")
                result = [type(error).__name__, text, getattr(error, "code", getattr(error, "returncode", None))]
            times[function.__name__] = time.monotonic() - began
            return result, process

        found["exits"] = [ends(work.leaves, code)[0] for code in (0, 3, None, "a text")]
        death, process = ends(work.vanishes, 0)
        found["vanished"] = [death, process.stdout]
        found["vanished with 7"] = ends(work.vanishes, 7)[0]
        death, process = ends(work.crashes)
        found["crash"] = [death, process.stdout, "in crashes" in process.stderr]
        found["killed"] = ends(work.kills_itself, signal.SIGKILL)[0]
        death, process = ends(work.interrupted)
        found["interrupted"] = [death, process.stderr.rstrip().endswith("KeyboardInterrupt")]
        process = environment.exec(time.sleep, 300)
        os.kill(process.pid, signal.SIGTERM)
        found["terminated"] = told(process.result)[1].split(") ")[1]

        import resource
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ended, process = ends(work.talks_for_ever, timeout=2)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        found["talk"] = [ended[0], process.dropped > 0, len(process.stdout), grown < 100_000]

        found["odd"] = ends(work.raises_odd)[0]
        try: run(work.raises_odd)
        except Exception as error: found["odd traceback"] = "in raises_odd" in error.remote_traceback
        found["constructed"] = ends(work.raises_constructed)[0]
        found["lock"] = ends(work.returns_lock)[0]
        found["nested"] = ends(work.nested)[0][0]
        result, process = ends(work.large, 100_000_000)
        found["large"] = [result[0], len(result[1]), result[1][-1:] == b"x"]
        found["argument"] = run(len, b"x" * 100_000_000)

        found["fork"] = ends(work.forks_and_returns)[0]
        found["fork raises"] = ends(work.forks_and_raises)[0]
        _, process = ends(work.prints_and_forks)
        found["printed"] = process.stdout
        for function in (work.leaks_grandchild, work.leaks_daemon):
            result, process = ends(function)
            named = f"(pid {result[1]})" in process.leftovers[0]
            found[function.__name__] = [result[0], alive(result[1]), len(process.leftovers), named]
        found["thread"] = ends(work.leaves_thread)[0]
        found["stuck thread"] = ends(work.leaves_stuck_thread)[0]
        run(work.writes, "held.txt"); run(work.registers, "left.txt")
        found["at exit"] = [open("held.txt").read(), open("left.txt").read()]
    report(**found, slow=sorted(name for name, seconds in times.items() if seconds > 20))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Trap: grpc hung at interpreter exit in a forked child: here a third-party module would hold up every exit."""
    workshop = Workshop(tmp_path_factory.mktemp("ends"))
    workshop.write(PACKAGE)
    return workshop.run(PROGRAM)


@pytest.mark.slow
def test_nothing_hangs(ran):
    """Traps: a child that calls sys.exit, dies of SIGSEGV or os._exit made a peer hang for ever; SIGINT did nothing."""
    assert ran.report["slow"] == []


def test_sys_exit_is_told_with_its_code(ran):
    assert ran.report["exits"] == [
        ["IsolatedExit", "leaves called sys.exit(0)", 0],
        ["IsolatedExit", "leaves called sys.exit(3)", 3],
        ["IsolatedExit", "leaves called sys.exit()", None],
        ["IsolatedExit", "leaves called sys.exit('a text')", "a text"],
    ]


def test_deaths_are_told_with_what_was_said_before(ran):
    found = ran.report
    assert found["vanished"] == [
        ["IsolatedDeath", "vanishes ended by os._exit with status 0", 0],
        "before\n",
    ]
    assert found["vanished with 7"] == ["IsolatedDeath", "vanishes ended by os._exit with status 7", 7]
    assert found["crash"] == [
        ["IsolatedDeath", "crashes was killed by SIGSEGV (signal 11)", -11],
        "so far\n",
        True,
    ]
    assert found["killed"] == ["IsolatedDeath", "kills_itself was killed by SIGKILL (signal 9)", -9]
    assert found["interrupted"] == [
        ["IsolatedDeath", "interrupted was killed by SIGINT (signal 2)", -2],
        True,
    ]
    assert found["terminated"] == "was killed by SIGTERM (signal 15)"


def test_what_can_not_be_carried_is_a_typed_error(ran):
    found = ran.report
    assert found["odd"][0] == "CarryError"
    assert found["odd"][1].startswith(
        "the exception of raises_odd, shop.work.Odd: odd, can't be read here: UnpicklingError: it can't be pickled: "
    )
    assert found["odd traceback"] is True
    assert found["constructed"][:1] == ["CarryError"]
    assert found["lock"][:2] == [
        "CarryError",
        "the result of returns_lock can't be sent back: TypeError: cannot pickle '_thread.lock' object",
    ]
    assert found["nested"] == "CarryError"


def test_large_results_and_arguments_arrive_whole(ran):
    assert (ran.report["large"], ran.report["argument"]) == (["returned", 100_000_000, True], 100_000_000)


def test_output_without_an_end_is_bounded(ran):
    assert ran.report["talk"] == ["IsolatedTimeout", True, 1 << 20, True]


def test_a_fork_in_the_function_does_not_answer_for_it(ran):
    """Trap: unflushed stdio buffers were written twice after a fork: of the function, and of an import before it."""
    found = ran.report
    assert found["fork"] == ["returned", "from the child"]
    assert found["fork raises"] == ["returned", "from the child"]
    assert found["printed"] == "once only"


def test_what_it_leaves_behind_is_ended_and_named(ran):
    """Trap: a grandchild that holds the pipe delays the end of file for its whole life."""
    found = ran.report
    assert found["leaks_grandchild"] == ["returned", False, 1, True]
    assert found["leaks_daemon"] == ["returned", False, 1, True]
    assert found["thread"] == found["stuck thread"] == ["returned", "done"]
    said = [line.split(" -c ")[0].rpartition(" ")[0] for line in ran.notices]
    assert said == [
        f"isolate_imports: {name} left processes behind; killed:"
        for name in ("leaks_grandchild", "leaks_daemon")
    ]


def test_files_are_flushed_and_exit_handlers_run(ran):
    assert ran.report["at exit"] == ["kept back", "left"]


@pytest.mark.slow
def test_a_thousand_calls_leave_nothing(tmp_path):
    """Trap: one zombie for each child."""
    workshop = Workshop(tmp_path)
    workshop.write(PACKAGE)
    ran = workshop.run("""
        from shop import work
        from pytest_hotreload import IsolationError
        def held(): return sorted(os.listdir("/proc/self/fd"))
        def relatives(pid):
            kin = []
            for task in os.listdir(f"/proc/{pid}/task"):
                try: children = open(f"/proc/{pid}/task/{task}/children").read().split()
                except FileNotFoundError: return relatives(pid)  # a thread has ended, and others have its children
                for child in children: kin += [int(child), *relatives(int(child))]
            return sorted(kin)
        with isolate_imports("shop", env={"CLINGS": "1"}) as environment:
            def run(*call):
                try: return environment.exec(*call).result()
                except IsolationError as error: return type(error).__name__
            calls = [(work.nothing,), (work.vanishes, 1), (work.leaves, 1), (work.returns_lock,), (threading.Lock,)]
            for call in calls: run(*call)
            def theirs(): return min(environment.exec(work.held_by_template).result() for _ in range(5))
            before, kin, files = held(), relatives(os.getpid()), theirs()
            outcomes = [run(*calls[number % 50] if number % 50 < 5 else calls[0]) for number in range(1000)]
            after, later, same_files = held(), relatives(os.getpid()), theirs() == files
        report(same=before == after and same_files, kin=len(set(kin) & set(later)), forks=[len(kin), len(later)],
               threads=threading.active_count(),
               pids=len(set(outcomes)), left=relatives(os.getpid()), closed=len(held()) - len(before))
    """)
    found = ran.report
    # Template, what waits behind it, and the next child; 920 process ids and three kinds of errors.
    assert (found["same"], found["kin"], found["forks"], found["threads"]) == (True, 2, [3, 3], 1)
    assert found["pids"] == 920 + 3
    assert found["left"] == []
    assert found["closed"] < 0
