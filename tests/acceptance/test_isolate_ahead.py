"""`isolate_imports`: a preforked child equals a child that is forked for its call."""

from __future__ import annotations

import textwrap

import pytest

from .isolating import Workshop, noted

#: Reads what waits: the template's only child between two calls.
HEAD = """
    def lines(pid): return open(f"/proc/{pid}/task/{pid}/children").read().split()
    def waiting(environment):
        template = environment.exec(work.parent).result()
        (only,) = lines(template)
        return int(only)
"""
PACKAGE = {
    "src/shop/__init__.py": "",
    "src/shop/work.py": """
        import heavy, os, random, signal, sys, time

        def parent(): return os.getppid()
        def pid(): return os.getpid()
        def seen(*names):
            return [os.environ.get(name) for name in names] + [os.getcwd(), sys.argv[1:], "added" in sys.path]
        def number(): return random.random()
        def signals():
            ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            return ours, signal.pthread_sigmask(signal.SIG_BLOCK, ())  == set(), os.getpgid(0) == os.getpid()
        def descriptors():
            paths = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
            return sorted(os.readlink(path) for path in paths if os.path.lexists(path))
        def notes(path):
            with open(path, "a") as file: print(os.getpid(), file=file)
            time.sleep(0.01)
        def sleeps(seconds): time.sleep(seconds); return os.getpid()
    """,
    **noted("heavy"),
}


@pytest.fixture
def workshop(tmp_path):
    made = Workshop(tmp_path)
    made.write(PACKAGE)
    return made


def program(text: str) -> str:
    return "from shop import work\n" + textwrap.dedent(HEAD) + textwrap.dedent(text)


def test_each_call_is_the_child_that_waited(workshop):
    ran = workshop.run(
        program("""
            with isolate_imports("shop") as environment:
                waited, called = [], []
                for _ in range(5):
                    waited.append(waiting(environment))
                    called.append(environment.exec(work.pid).result())
            report(same=waited == called, different=len(set(called)))
        """)
    )
    assert ran.report == {"same": True, "different": 5}


def test_it_sees_the_world_as_it_is_at_the_call(workshop):
    ran = workshop.run(
        program("""
            with isolate_imports("shop", env={"GIVEN": "yes"}) as environment:
                waiting(environment)
                os.environ["NEW"] = "1"
                os.environ.pop("GONE")
                os.mkdir("elsewhere")
                os.chdir("elsewhere")
                sys.argv[1:] = ["--changed"]
                sys.path.append("added")
                changed = environment.exec(work.seen, "GIVEN", "NEW", "GONE").result()
                open(work.__file__, "a").write("\\ndef seen(*_): return 'edited'\\n")
                report(changed=changed, edited=environment.exec(work.seen).result(),
                       numbers=len({environment.exec(work.number).result() for _ in range(4)}))
        """),
        GONE="before",
    )
    assert ran.report == {
        "changed": ["yes", "1", None, str(workshop.top / "elsewhere"), ["--changed"], True],
        "edited": "edited",
        "numbers": 4,
    }


def test_one_that_was_killed_while_it_waited_is_nobodys_loss(workshop):
    ran = workshop.run(
        program("""
            with isolate_imports("shop") as environment:
                pids = []
                for _ in range(5):
                    victim = waiting(environment)
                    os.kill(victim, signal.SIGKILL)
                    time.sleep(0.2)
                    pids.append((victim, environment.exec(work.pid).result()))
                report(other=all(victim != pid for victim, pid in pids))
        """)
    )
    assert ran.report == {"other": True}
    assert ran.err == ""


def test_one_that_is_killed_as_it_is_asked(workshop):
    """Either it was nobody yet, or it was this call's."""
    ran = workshop.run(
        program("""
            with isolate_imports("shop") as environment:
                wrong = []
                for _ in range(20):
                    victim = waiting(environment)
                    os.kill(victim, signal.SIGKILL)
                    kind, text = told(environment.exec(work.pid).result)
                    elsewhere = kind == "returned" and text != victim
                    if not elsewhere and text != f"pid (pid {victim}) was killed by SIGKILL (signal 9)":
                        wrong.append((kind, text))
                report(wrong=wrong)
        """)
    )
    assert ran.report == {"wrong": []}


def test_it_is_like_one_that_was_forked_for_its_call(workshop):
    """Of two calls at the same time the second finds nobody waiting."""
    ran = workshop.run(
        program("""
            with isolate_imports("shop") as environment:
                found = []
                for function in (work.signals, work.descriptors):
                    held = waiting(environment)
                    busy = environment.exec(work.sleeps, 0.3)
                    several = [environment.exec(function) for _ in range(3)]
                    found.append([process.result() for process in several])
                    assert busy.result() == held
                report(signals=found[0], descriptors=[[name.split(":")[0] for name in one] for one in found[1]])
        """)
    )
    assert ran.report["signals"] == [[True, True, True]] * 3
    first, *others = ran.report["descriptors"]
    assert others == [first, first]


def test_many_at_the_same_time_run_once_each(workshop):
    ran = workshop.run(
        program("""
            from concurrent.futures import ThreadPoolExecutor
            with isolate_imports("shop") as environment, ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: environment.exec(work.notes, "notes").result(), range(200)))
            with open("notes") as file: noted = file.read().split()
            report(runs=len(noted), different=len(set(noted)))
        """)
    )
    assert ran.report == {"runs": 200, "different": 200}


def test_a_new_template_has_its_own(workshop):
    workshop.write(noted("other"))
    ran = workshop.run(
        program("""
            with isolate_imports("shop") as environment:
                template, before = environment.exec(work.parent).result(), waiting(environment)
                open(work.__file__, "a").write("\\nimport other\\ndef pid(): return other.PID == os.getppid()\\n")
                updated = environment.update_environment()
                def gone(pid):
                    try: os.kill(pid, 0)
                    except ProcessLookupError: return True
                deadline = time.monotonic() + 10
                while not (gone(template) and gone(before)) and time.monotonic() < deadline: time.sleep(0.01)
                report(updated=updated, gone=[gone(template), gone(before)], warm=environment.exec(work.pid).result())
        """)
    )
    assert ran.report == {"updated": True, "gone": [True, True], "warm": True}


def test_a_refused_fork_is_a_typed_error_and_no_end(workshop):
    """A third-party module stands in for a system that is full: whether it refuses says a file."""
    workshop.write({
        "site-packages/full.py": """
            import errno, os
            from pytest_hotreload import world
            fork = world.os.fork
            def refusing():
                if os.path.exists(os.environ["FULL"]): raise OSError(errno.EAGAIN, "refused")
                return fork()
            world.os.fork = refusing
        """,
        "src/shop/work.py": "import full\ndef answer(): return 42\n",
    })  # fmt: skip
    ran = workshop.run(
        program("""
            with isolate_imports("shop") as environment:
                results = [environment.exec(work.answer).result()]
                open(os.environ["FULL"], "w").close()
                results += [told(environment.exec(work.answer).result) for _ in range(3)]
                os.remove(os.environ["FULL"])
                results += [environment.exec(work.answer).result() for _ in range(2)]
                report(results=results)
        """),
        FULL=str(workshop.top / "full"),
    )
    refused = "the system refused to fork a process for answer: Resource temporarily unavailable"
    # One was ready before the system was full.
    assert ran.report["results"] == [42, ["returned", 42], *[["IsolationError", refused]] * 2, 42, 42]
    assert ran.err == ""
