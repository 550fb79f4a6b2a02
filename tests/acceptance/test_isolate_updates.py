"""`isolate_imports` while its package is edited: new code in each call, a new template after changed imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from .isolating import Workshop, noted


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_the_template_is_replaced_when_the_imports_change_and_only_then(workshop):
    workshop.write({
        **noted("first", "second", "third"),
        "src/shop/__init__.py": "import first",
        "src/shop/work.py": "import os, second\ndef parent(): return os.getppid()\n",
        "src/shop/more.py": "import third\n",
        "src/shop/plain.py": "import first\n",
    })  # fmt: skip
    ran = workshop.run("""
        from shop import work
        names = ("first", "second", "third", "newcomer")
        def template(): return environment.exec(work.parent).result()
        with isolate_imports("shop") as environment:
            steps, old = [], template()
            asleep = environment.exec(time.sleep, 300)
            def step(change):
                global old
                change()
                updated, now = environment.update_environment(), template()
                steps.append([updated, now != old, warm(environment, *names[:3 + (number > 4)])])
                old = now
            def write(name, text): open(f"src/shop/{name}.py", "w").write(text)
            for number, change in enumerate([
                lambda: None,
                lambda: write("plain", "import first\\nVALUE = 1\\n"),
                lambda: write("plain", "import third\\nimport first\\n"),  # another order, the same set
                lambda: os.remove("src/shop/plain.py"),  # others import the same
                lambda: os.remove("src/shop/more.py"),
                lambda: (open("site-packages/newcomer.py", "w").write("import os; PID = os.getpid()"),
                         write("later", "import newcomer\\n")),
                lambda: write("broken", "import ("),
            ]):
                step(change)
            going_on = not asleep.wait(0)
            alive = len(set(open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()))
            environment.stop_isolated(asleep)
            import shutil
            shutil.rmtree("src/shop")
            lost = [told(environment.update_environment), environment.exec(os.getppid).result() == old]
        report(steps=steps, going_on=going_on, alive=alive, lost=lost)
    """)
    same = [False, False, ["first", "second", "third"]]
    assert ran.report["steps"] == [
        same,
        same,
        same,
        same,
        [True, True, ["first", "second"]],
        [True, True, ["first", "second", "newcomer"]],
        [False, False, ["first", "second", "newcomer"]],
    ]
    # The first template lives on with its sleeper, beside the newest.
    assert (ran.report["going_on"], ran.report["alive"]) == (True, 2)
    assert ran.report["lost"] == [
        ["IsolationError", "there is no package 'shop' with Python sources"],
        True,
    ]
    (line,) = ran.notices
    assert line.startswith(
        f"isolate_imports: {workshop.source}/shop/broken.py:1: the imports of this file are not warm: SyntaxError"
    )


def test_each_call_runs_what_stands_on_the_disk(workshop):
    """Trap: bytecode of an edit in the same second, of the same size, is imported stale, whoever wrote it."""
    workshop.write({"src/shop/__init__.py": "", "src/shop/work.py": "VALUE = 0\ndef value(): return VALUE\n"})
    ran = workshop.run("""
        import py_compile
        from shop import work
        assert not sys.flags.dont_write_bytecode
        with isolate_imports("shop") as environment:
            seen = []
            for number in range(10):
                text = f"VALUE = {number}\\ndef value(): return VALUE\\n"
                with open("src/shop/work.py", "w") as file: file.write(text)
                if number % 3 == 1:
                    py_compile.compile("src/shop/work.py")  # as another process that imports it at that moment
                seen.append(environment.exec(work.value).result())
            with open("src/shop/work.py", "w") as file: file.write("def half(:\\n")
            broken = told(environment.exec(work.value).result)
            with open("src/shop/work.py", "w") as file: file.write("def value(): return 'mended'\\n")
            mended = environment.exec(work.value).result()
        report(seen=seen, broken=broken[0], mended=mended, here=work.value())
    """)
    assert ran.report == {"seen": list(range(10)), "broken": "SyntaxError", "mended": "mended", "here": 0}


REGISTRY = """
    TABLES = {}
    def table(cls):
        if cls.__name__ in TABLES:
            raise ValueError(f"table {cls.__name__} is defined twice")
        TABLES[cls.__name__] = cls
        return cls
"""


def test_registries_of_other_packages_are_clean_in_each_call(workshop):
    """Trap: a re-import with leaked registries (SQLModel tables) failed: only a fork is a clean state."""
    workshop.write({
        "site-packages/tables.py": REGISTRY,
        "src/shop/__init__.py": "",
        "src/shop/models.py": """
            import tables
            @tables.table
            class Hero: pass
            def names(): return list(tables.TABLES)
        """,
        "src/shop/work.py": "def names():\n    from shop import models\n    return models.names()\n",
    })  # fmt: skip
    ran = workshop.run("""
        from shop import work
        with isolate_imports("shop") as environment:
            calls = [environment.exec(work.names) for _ in range(3)]
            first = [call.result() for call in calls]
            with open("src/shop/models.py", "a") as file: file.write("@tables.table\\nclass Team: pass\\n")
            report(first=first, edited=environment.exec(work.names).result(), replaced=environment.update_environment())
    """)
    assert ran.report == {"first": [["Hero"]] * 3, "edited": ["Hero", "Team"], "replaced": False}


def test_calls_go_on_while_another_thread_updates(workshop):
    """Each runs in the old template or in the new one, and has its result."""
    workshop.write({"src/shop/__init__.py": "", "src/shop/work.py": "def answer(number): return number\n"})
    workshop.write(noted(*(f"other{number}" for number in range(6))))
    ran = workshop.run("""
        from shop import work
        with isolate_imports("shop") as environment:
            answers, going = [], True
            def call():
                while going:
                    answers.append(environment.exec(work.answer, 7).result())
            threads = [threading.Thread(target=call) for _ in range(3)]
            for thread in threads: thread.start()
            updated = []
            for number in range(6):
                with open(work.__file__, "a") as file: file.write(f"import other{number}\\n")
                updated.append(environment.update_environment())
            going = False
            for thread in threads: thread.join()
            deadline = time.monotonic() + 10
            def templates(): return open(f"/proc/self/task/{os.getpid()}/children").read().split()
            while len(templates()) > 1 and time.monotonic() < deadline: time.sleep(0.01)
            report(updated=updated, answers=sorted(set(answers)), left=len(templates()),
                   warm=len(warm(environment, *(f"other{number}" for number in range(6)))))
    """)
    assert ran.report == {"updated": [True] * 6, "answers": [7], "left": 1, "warm": 6}
    assert ran.err == ""
