"""`isolate_imports` in callers of every kind: threads, event loops, notebooks, forks, and callers that die."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .isolating import Workshop, noted
from .processes import until

#: Seconds from the host's death to the last process's.
GONE_SECONDS = 10.0


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    workshop = Workshop(tmp_path)
    workshop.write({
        **noted("third"),
        "src/shop/__init__.py": "import third",
        "src/shop/work.py": """
            import os, subprocess, sys, time
            def add(*numbers): return sum(numbers)
            def parent(): return os.getppid()
            def blocks(*_):
                subprocess.Popen(["sleep", "300"], start_new_session=True)
                time.sleep(300)
            def spins():
                while True: pass
        """,
    })  # fmt: skip
    return workshop


HOLDS = """
    from shop import work
    environment = isolate_imports("shop")
    processes = [environment.exec(work.blocks), environment.exec(work.spins), environment.exec(work.add, 1)]
    processes[2].wait()
    report(pids=[process.pid for process in processes])
"""


@pytest.mark.parametrize("variables", [{}, {"PYTEST_HOTRELOAD_NO_DEATH_SIGNAL": "1"}], ids=["signal", "pipe"])
def test_a_killed_host_leaves_nothing(workshop, variables):
    """Trap: a killed host orphaned the template. By the kernel's signal, and by the closed pipe alone.

    A fork of the host lives on, and holds nothing that would hold the others up."""
    program = (
        HOLDS.replace(
            "report(", "copy = os.fork()\n    if copy == 0: time.sleep(300)\n    report(copy=copy, "
        )
        + "    signal.pause()\n"
    )
    with workshop.start(program, **variables) as running:
        copy = running.line()["copy"]
        assert len(running.alive()) >= 6
        os.kill(running.popen.pid, signal.SIGKILL)
        until(lambda: set(running.alive()) <= {copy}, "the end of all but the copy", GONE_SECONDS)
        os.kill(copy, signal.SIGKILL)


@pytest.mark.parametrize(
    "end", ["", "sys.exit(3)", "raise ValueError", "os.kill(os.getpid(), signal.SIGTERM)"]
)
def test_a_host_that_ends_without_closing_leaves_nothing(workshop, end):
    with workshop.start(HOLDS + f"    {end}\n") as running:
        running.line()
        running.popen.wait()
        until(lambda: not running.alive(), "the end of everything", GONE_SECONDS)


def test_a_forgotten_environment_ends(workshop):
    """But not while one of its processes is wanted."""
    ran = workshop.run("""
        import gc
        from shop import work
        result = isolate_imports("shop").exec(work.add, 40, 2).result()
        gc.collect()
        children = open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read()
        report(result=result, children=children, threads=threading.active_count())
    """)
    assert ran.report == {"result": 42, "children": "", "threads": 1}


def test_threads_share_one_template_and_never_hold_the_interpreter_up(workshop):
    """Traps: double initialisation; `communicate` held the interpreter lock while it waited."""
    ran = workshop.run("""
        from shop import work
        environment, other = isolate_imports("shop"), isolate_imports("shop.work")
        gate, parents, sums = threading.Barrier(8), [], []
        def use(number):
            gate.wait()
            for place in (environment, other):
                sums.append(place.exec(work.add, number, 1).result())
                parents.append(place.exec(work.parent).result())
        threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()

        waiting = environment.exec(time.sleep, 300)
        waiter = threading.Thread(target=lambda: told(environment.communicate_isolated, waiting))
        waiter.start()
        counted = sum(1 for _ in range(1_000_000))  # while the other thread waits
        held = waiter.is_alive()
        environment.stop_isolated(waiting)
        waiter.join()
        environment.close(); other.close(); other.close()
        report(sums=sorted(sums), templates=len(set(parents)), counted=counted, held=held)
    """)
    assert ran.report == {
        "sums": sorted([*range(1, 9), *range(1, 9)]),
        "templates": 2,
        "counted": 1_000_000,
        "held": True,
    }


def test_under_asyncio(workshop):
    ran = workshop.run("""
        import asyncio
        from shop import work
        found = {}
        async def main():
            async with isolate_imports("shop") as environment:
                ticks = 0
                async def tick():
                    nonlocal ticks
                    while True:
                        ticks += 1
                        await asyncio.sleep(0.001)
                ticking = asyncio.create_task(tick())
                found["sums"] = await asyncio.gather(*(environment.run(work.add, n, 1) for n in range(5)))
                process = environment.exec(work.add, 40, 2)
                found["awaited"] = [await process, await process]
                try: await environment.run(next, iter(()))
                except RuntimeError as error: found["stop"] = type(error.__cause__).__name__
                asleep = asyncio.create_task(environment.run(work.blocks))
                await asyncio.sleep(0)
                asleep.cancel()
                found["cancelled"] = (await asyncio.gather(asleep, return_exceptions=True))[0].__class__.__name__
                late = await asyncio.gather(environment.run(time.sleep, 300, timeout=0.3), return_exceptions=True)
                found["late"] = type(late[0]).__name__
                ticking.cancel()
                found["ticked"] = ticks > 10
        asyncio.run(main())
        report(**found)
    """)
    assert ran.report == {
        "sums": [1, 2, 3, 4, 5],
        "awaited": [42, 42],
        "stop": "StopIteration",
        "cancelled": "CancelledError",
        "late": "IsolatedTimeout",
        "ticked": True,
    }


def test_in_a_notebook(workshop):
    """A host whose code comes from its kernel: `__main__` has no file, and there is an event loop in a thread."""
    ran = workshop.run(
        """
        import asyncio
        assert "__file__" not in globals()
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        FACTOR = 2
        class Cell:
            def __init__(self, value): self.value = value
            def times(self): return Cell(self.value * FACTOR)
        with isolate_imports("shop") as environment:
            future = asyncio.run_coroutine_threadsafe(environment.run(Cell(21).times), loop)
            cell = environment.exec(Cell(4).times).result()
            report(value=future.result().value, same=type(cell) is Cell)
        """,
        by="stdin",
    )
    assert ran.report == {"value": 42, "same": True}


def test_forks_of_the_host(workshop):
    """They own nothing: neither their end nor what they do touches the environment; a new one is theirs."""
    ran = workshop.run("""
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from shop import work
        def in_copy(queue):
            queue.put([told(environment.exec, work.add), told(environment.update_environment), told(waiting.wait),
                       told(environment.communicate_isolated, waiting)])
            environment.close()
            with isolate_imports("shop") as own: queue.put(own.exec(work.add, 1, 1).result())
        with isolate_imports("shop") as environment:
            waiting = environment.exec(time.sleep, 300)
            context = multiprocessing.get_context("fork")
            queue = context.Queue()
            copy = context.Process(target=in_copy, args=(queue,))
            copy.start()
            said = [queue.get(), queue.get()]
            copy.join()
            if (pid := os.fork()) == 0:
                sys.exit(0)  # through the end of `with`, and the interpreter's
            os.waitpid(pid, 0)
            report(said=[sorted({kind for kind, _ in said[0]}), said[1]], waits=waiting.done,
                   still=environment.exec(work.add, 40, 2).result(), pid=[t[1] for t in said[0]][0] ==
                   f"the environment belongs to process {os.getpid()}, from which this process was forked")
    """)
    assert ran.report == {"said": [["EnvironmentClosed"], 2], "waits": False, "still": 42, "pid": True}
    assert ran.err == ""


def test_ctrl_c_while_waiting_ends_the_process(workshop):
    """Trap: SIGINT did nothing."""
    ran = workshop.run("""
        from shop import work
        def press():
            "When the main thread waits, and not before."
            def standing():
                frame, files = sys._current_frames()[threading.main_thread().ident], []
                while frame is not None:
                    files.append(frame.f_code.co_filename)
                    frame = frame.f_back
                return files
            def waits(): return standing()[0] == threading.__file__ and standing()[-2].endswith("/environment.py")
            while not waits(): time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        with isolate_imports("shop") as environment:
            process = environment.exec(work.blocks)
            process.pid
            threading.Thread(target=press).start()
            try: environment.communicate_isolated(process)
            except KeyboardInterrupt: report(done=process.done, kind=told(process.result)[0])
    """)
    assert ran.report == {"done": True, "kind": "IsolatedStopped"}


def test_a_killed_template_is_replaced_with_a_line(workshop):
    """Killed while functions run, at rest, and between a call and the fork for it."""
    ran = workshop.run("""
        from shop import work
        found = []
        with isolate_imports("shop") as environment:
            process = environment.exec(work.blocks)
            template = environment.exec(work.parent).result()
            os.kill(process.pid, 0)
            os.kill(template, signal.SIGKILL)
            found.append(told(process.result)[1].split(") ")[1])
            found.append(environment.exec(work.add, 40, 2).result())
            template = environment.exec(work.parent).result()
            os.kill(template, signal.SIGSTOP)
            process = environment.exec(work.add, 1, 2)
            os.kill(template, signal.SIGKILL)
            found.append(process.result())
        report(found=found)
    """)
    assert ran.report["found"] == ["was killed together with its template", 42, 3]
    assert ran.notices == 2 * [
        "isolate_imports: the template was killed by SIGKILL (signal 9): starting a new template"
    ]


def test_a_stopped_template_does_not_hold_the_end_up(workshop):
    ran = workshop.run("""
        from shop import work
        with isolate_imports("shop") as environment:
            os.kill(environment.exec(work.parent).result(), signal.SIGSTOP)
            process = environment.exec(work.add, 1)
        report(kind=told(process.result)[0])
    """)
    assert ran.report == {"kind": "IsolatedStopped"}


def test_an_output_callback_can_call_but_not_wait(workshop):
    ran = workshop.run("""
        found = []
        def hear(process, stream, text):
            found.append(told(environment.communicate_isolated, process))
            found.append(environment.exec(abs, -3))
        with isolate_imports("shop", output=hear) as environment:
            environment.exec(print, "a").result()
            report(refused=found[0], result=found[1].result())
    """)
    assert ran.report == {
        "refused": ["IsolationError", "an output callback can't wait for a process of the same environment"],
        "result": 3,
    }


def test_a_template_that_can_not_start_says_why(workshop):
    workshop.write(
        {
            "boot/sitecustomize.py": "import os, sys\nif len(sys.argv) == 1 and sys.argv[0] == '-c': os._exit(7)\n"
        }
    )
    ran = workshop.run(
        """
        from shop import work
        environment = isolate_imports("shop", cwd="absent")
        found = [told(environment.__enter__)[0], told(isolate_imports("shop").__enter__)]
        report(found=found, threads=threading.active_count())
        """,
        path=[workshop.top / "boot", workshop.source, workshop.site],
    )
    assert ran.report == {
        "found": [
            "FileNotFoundError",
            ["IsolationError", "the template did not start: it printed nothing"],
        ],
        "threads": 1,
    }
