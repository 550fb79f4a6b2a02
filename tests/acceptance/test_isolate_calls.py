"""`isolate_imports`: arguments, results and exceptions that travel between the processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .isolating import Ran, Workshop

PACKAGE = {
    "src/shop/__init__.py": "",
    "src/shop/work.py": """
        import heavy, os, sys, time

        class Till:
            def __init__(self, sum): self.sum = sum
            def add(self, more): return self.sum + more

        class Broke(Exception):
            def __init__(self, missing, of):
                super().__init__(f"{missing} of {of}")
                self.missing, self.of = missing, of
            def __reduce__(self): return type(self), (self.missing, self.of)

        def add(*numbers, times=1): return sum(numbers) * times
        def fail(): raise Broke(3, 5)
        def modules(*names): return [name in sys.modules for name in names]
        def place(): return os.getcwd(), os.environ.get("COLOUR"), os.environ.get("GONE"), sys.argv[1:]
        def speak():
            print("to out"); print("to err", file=sys.stderr); os.write(1, b"raw\\n"); sys.stdout.write("no end")
        def named(self, func): return self, func
    """,
    "site-packages/heavy.py": "LOADED = True",
}

PROGRAM = """
    from shop import work

    class Local:
        def __init__(self, value): self.value = value
        def double(self): return self.value * 2

    FACTOR = 7
    def of_main(value): return value * FACTOR
    def gives_local(value): return Local(value)
    def raises_local(): raise Wrong("local")
    class Wrong(Exception): pass
    def outer(base):
        def inner(more): return base + more
        return inner

    found = {}
    os.environ["COLOUR"], os.environ["GONE"] = "red", "soon"
    with isolate_imports("shop", env={"SHADE": "dark"}) as environment:
        def run(function, *args, **kwargs):
            return environment.communicate_isolated(environment.exec(function, *args, **kwargs))
        found["package"] = run(work.add, 1, 2, times=4)
        found["main"] = run(of_main, 6)
        found["closure"] = run(outer(40), 2)
        found["lambda"] = run(lambda: FACTOR)
        found["method"] = run(work.Till(40).add, 2)
        found["local method"] = run(Local(21).double)
        found["local result"] = [type(run(gives_local, 5)) is Local, run(gives_local, 5).value]
        found["builtin"] = run(max, 3, 9, 4)
        found["own names"] = run(work.named, self=1, func=2)
        found["warm"] = run(work.modules, "heavy", "shop", "pytest", "_pytest")
        found["host"] = [name in sys.modules for name in ("pytest", "_pytest")]

        try: run(work.fail)
        except work.Broke as error:
            cause = str(error.__cause__)
            found["error"] = [error.missing, error.of, "in fail" in cause, "pytest_hotreload" in cause]
            found["shown"] = 'raise Broke(3, 5)' in "".join(traceback.format_exception(error))
        try: run(raises_local)
        except Wrong as error: found["local error"] = str(error)

        os.environ["COLOUR"] = "blue"; del os.environ["GONE"]; sys.argv[1:] = ["--fast"]
        os.chdir("programs")
        found["place"] = run(work.place)

        process = environment.exec(work.speak, name="a speech")
        process.wait()
        found["said"] = [process.stdout, process.stderr, process.name, process.done, process.pid > 0]

        one, two = environment.exec(time.sleep, 60), environment.exec(work.add, 1)
        found["at the same time"] = [environment.communicate_isolated(two), one.done, one.wait(0)]
        environment.stop_isolated(one)
        found["stopped"] = [told(one.result), one.done]
        found["late"] = told(run, time.sleep, 60, timeout=0.2)
        found["again"] = [one.wait(0), told(one.result)[0]]
        found["lock"] = told(run, work.add, threading.Lock())
        cloudpickle, sys.modules["cloudpickle"] = sys.modules["cloudpickle"], None
        found["without"] = told(run, work.add)
        sys.modules["cloudpickle"] = cloudpickle
    found["closed"] = told(environment.exec, work.add)
    found["arguments"] = [told(isolate_imports, "no package"), told(isolate_imports, "shop", include="heavy"),
                          told(isolate_imports, "shop", output="loud"), told(isolate_imports("absent").__enter__)]
    report(**found)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    workshop = Workshop(tmp_path_factory.mktemp("calls"))
    workshop.write(PACKAGE)
    return workshop.run(PROGRAM), workshop.top


def test_functions_of_every_kind_return_real_values(ran):
    found = ran[0].report
    assert {name: found[name] for name in list(found)[:10]} == {
        "package": 12,
        "main": 42,
        "closure": 42,
        "lambda": 7,
        "method": 42,
        "local method": 42,
        "local result": [True, 5],
        "builtin": 9,
        "own names": [1, 2],
        "warm": [True, True, False, False],
    }


def test_neither_the_host_nor_the_template_needs_pytest(ran):
    assert (ran[0].report["host"], ran[0].report["warm"][2:]) == ([False, False], [False, False])


def test_exceptions_arrive_as_they_are_with_the_traceback_of_the_child(ran):
    found = ran[0].report
    assert (found["error"], found["shown"], found["local error"]) == ([3, 5, True, False], True, "local")


def test_a_call_sees_the_environment_and_folder_as_they_are_then(ran):
    assert ran[0].report["place"] == [str(ran[1] / "programs"), "blue", None, ["--fast"]]


def test_output_is_captured(ran):
    assert ran[0].report["said"] == ["to out\nraw\nno end", "to err\n", "a speech", True, True]
    assert ran[0].err == ""


def test_several_run_at_the_same_time_and_can_be_stopped(ran):
    found = ran[0].report
    assert found["at the same time"] == [1, False, False]
    assert (found["stopped"][0][0], found["stopped"][1], found["again"]) == (
        "IsolatedStopped",
        True,
        [True, "IsolatedStopped"],
    )
    assert found["late"][0] == "IsolatedTimeout"
    assert found["late"][1].endswith(" took longer than its timeout of 0.2 s and was killed")


def test_mistakes_name_the_value(ran):
    found = ran[0].report
    assert found["lock"] == [
        "CarryError",
        "add and its arguments can't be sent to another process: TypeError: cannot pickle '_thread.lock' object",
    ]
    assert found["without"][0] == "IsolationError"
    assert found["without"][1].startswith("isolate_imports needs cloudpickle, which can't be imported here: ")
    assert found["closed"] == ["EnvironmentClosed", "the environment of shop is closed"]
    assert found["arguments"] == [
        ["IsolationError", "'no package' is not the name of a package"],
        ["IsolationError", "include is 'heavy', not a collection of module names"],
        ["IsolationError", "output is 'loud', which is not a valid value"],
        ["IsolationError", "there is no package 'absent' with Python sources"],
    ]


def test_output_comes_live_to_a_callback_or_goes_where_the_host_writes(tmp_path):
    workshop = Workshop(tmp_path)
    workshop.write(PACKAGE)
    ran = workshop.run("""
        def talk(flag):
            print("first", flush=True); sys.stdout.write("é"); sys.stdout.flush()
            while not os.path.exists(flag): time.sleep(0.01)
            print(" last")
        heard, late = [], []
        def hear(process, stream, text):
            heard.append([stream, text])
            if "first" in text:
                open("flag", "w").close()  # only a callback that hears it live ends the function
        with isolate_imports("shop", output=hear) as environment:
            process = environment.exec(talk, os.path.abspath("flag"))
            process.result()
            process.on_output(lambda *said: late.append(said[1:]))
        def inherits(): print("to the terminal", flush=True); print("and this", file=sys.stderr)
        with isolate_imports("shop", output="inherit") as environment:
            environment.exec(inherits).result()
        def wrong(*_): raise ValueError("no")
        with isolate_imports("shop", output=wrong) as environment:
            process = environment.exec(print, "a")
            process.result()
        report(heard="".join(text for _, text in heard), streams=sorted({s for s, _ in heard}), late=late,
               kept=process.stdout)
    """)
    assert ran.report == {
        "heard": "first\né last\n",
        "streams": ["stdout"],
        "late": [["stdout", "first\né last\n"]],
        "kept": "a\n",
    }
    assert ran.out.splitlines()[0] == "to the terminal"
    assert ran.err.splitlines() == [
        "and this",
        "isolate_imports: an output callback raised ValueError: no; it is not called again for this process",
    ]
