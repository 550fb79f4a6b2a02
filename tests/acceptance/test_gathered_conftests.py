"""Conftests that gather data while tests run and write it at the end of the session: same files and lines."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .compare import assert_same

#: Two test files, so that two children (and with two slots at once) have a part of it.
TESTS = {
    "test_a.py": """
        import pytest

        def test_one(): pass
        def test_two(): assert 0
        @pytest.mark.parametrize("n", [1, 2])
        def test_n(n): pass
    """,
    "test_b.py": """
        import pytest

        def test_three(): pass
        @pytest.mark.skip(reason="why not")
        def test_four(): pass
        @pytest.fixture
        def breaks(): raise RuntimeError("broken")
        def test_error(breaks): pass
    """,
    "deep/test_c.py": "def test_five(): pass\n",
}
QUEUE = (
    "import queue, threading\nQ, ROWS = queue.Queue(), []\ndef consume():\n"
    "    while True:\n        ROWS.append(Q.get())\n        Q.task_done()\n"
    "def pytest_sessionstart(): threading.Thread(target=consume, daemon=True).start()"
)
#: How a conftest keeps what it gathers: (before the hooks, in the hook for a report, in a session-end hook).
WAYS = {
    "list": ("ROWS = []", "ROWS.append((item.nodeid, call.when))", "ROWS"),
    "list grown anew": ("ROWS = []", "global ROWS; ROWS = ROWS + [item.nodeid]", "ROWS"),
    "list added to": ("ROWS = []", "global ROWS; ROWS += [item.nodeid]", "ROWS"),
    "tuple": ("ROWS = ()", "global ROWS; ROWS += (item.nodeid,)", "ROWS"),
    "set": ("ROWS = set()", "ROWS.add(item.name)", "sorted(ROWS)"),
    "dict": ("ROWS = {}", "ROWS[item.nodeid] = call.when", "ROWS"),
    "dict in a dict": ("ROWS = {}", "ROWS.setdefault(item.nodeid, {})[call.when] = 1", "ROWS"),
    "lists in a dict": ("ROWS = {}", "ROWS.setdefault(call.when, []).append(item.name)", "ROWS"),
    "defaultdict of lists": (
        "import collections\nROWS = collections.defaultdict(list)", "ROWS[call.when].append(item.name)", "dict(ROWS)",
    ),
    "Counter": (
        "import collections\nROWS = collections.Counter()", "ROWS[call.when] += 1", "sorted(ROWS.items())",
    ),
    "defaultdict of numbers": (
        "import collections\nROWS = collections.defaultdict(int)", "ROWS[call.when] += 2", "sorted(ROWS.items())",
    ),
    "numbers in a dict": (
        "ROWS = {'setup': 0, 'call': 0, 'teardown': 0}", "ROWS[call.when] += 1", "ROWS",
    ),
    "numbers in a dict that begins empty": (
        "ROWS = {}", "ROWS[call.when] = ROWS.get(call.when, 0) + 1", "ROWS",
    ),
    "class's attribute, late": (
        "class Stats: pass", "Stats.count = getattr(Stats, 'count', 0) + 1", "Stats.count",
    ),
    "session's number, late": (
        "", "item.session.seen = getattr(item.session, 'seen', 0) + 1", "session.seen",
    ),
    "queue with a consumer": (QUEUE, "Q.put(item.nodeid)", "(Q.join(), ROWS)"),
    "deque": ("import collections\nROWS = collections.deque()", "ROWS.append(item.nodeid)", "list(ROWS)"),
    "number": ("COUNT = 0", "global COUNT; COUNT += 1", "COUNT"),
    "number from an expression": ("COUNT = 0", "global COUNT; COUNT = COUNT + 1", "COUNT"),
    "largest": ("MOST = 0", "global MOST; MOST = max(MOST, len(item.nodeid))", "MOST"),
    "largest by comparison": (
        "MOST = 0\ndef see(n):\n    global MOST\n    if n > MOST:\n        MOST = n", "see(len(item.name))", "MOST",
    ),
    "first": (
        "FIRST = None\ndef see(n):\n    global FIRST\n    if FIRST is None:\n        FIRST = n",
        "see(item.name)", "FIRST",
    ),
    "first or": (
        "FIRST = ''\ndef see(n):\n    global FIRST\n    if not FIRST:\n        FIRST = n", "see(item.name)", "FIRST",
    ),
    "last": ("LAST = None", "global LAST; LAST = item.nodeid", "LAST"),
    "flag": (
        "BROKE = False\ndef see(x):\n    global BROKE\n    if x:\n        BROKE = True", "see(call.excinfo)", "BROKE",
    ),
    "text": ("TEXT = ''", "global TEXT; TEXT += item.name + ' '", "TEXT"),
    "buffer": ("import io\nOUT = io.StringIO()", "print(item.nodeid, call.when, file=OUT)", "OUT.getvalue()"),
    "object": (
        "class Stats:\n    def __init__(self): self.rows, self.count = [], 0\nSTATS = Stats()",
        "STATS.rows.append(item.name); STATS.count += 1", "(STATS.rows, STATS.count)",
    ),
    "object with slots": (
        "class Stats:\n    __slots__ = ('rows', 'count')\nSTATS = Stats()\nSTATS.rows = []; STATS.count = 0",
        "STATS.rows.append(item.name); STATS.count += 1", "(STATS.rows, STATS.count)",
    ),
    "class": (
        "class Stats:\n    rows, count = [], 0", "Stats.rows.append(item.name); Stats.count += 1",
        "(Stats.rows, Stats.count)",
    ),
    "dataclasses in a list": (
        "import dataclasses\n@dataclasses.dataclass\nclass Row:\n    name: str\n    when: str\nROWS = []",
        "ROWS.append(Row(item.name, call.when))", "[(row.name, row.when) for row in ROWS]",
    ),
    "items": ("ROWS = []", "ROWS.append(item)", "[session.items.index(item) for item in ROWS]"),
    "dict by items": ("ROWS = {}", "ROWS[item] = call.when", "[(item.name, ROWS.get(item)) for item in session.items]"),
    "exceptions": (
        "ROWS = []", "ROWS.append((item.name, call))",
        "[(name, call.when, call.excinfo and call.excinfo.typename) for name, call in ROWS]",
    ),
    "reports": (
        "ROWS = []", "ROWS.append(report)", "[(r.nodeid, r.when, r.outcome, str(r.longrepr)[:5]) for r in ROWS]",
    ),
    "attribute of items": (
        "", "setattr(item, 'rep_' + call.when, report)",
        "[(i.name, i.rep_setup.outcome, i.rep_call.outcome if hasattr(i, 'rep_call') else '') for i in session.items]",
    ),
    "config": (
        "def pytest_configure(config): config.rows = []", "item.config.rows.append(item.name)", "session.config.rows",
    ),
    "config, late": (
        "", "item.config.late = getattr(item.config, 'late', []) + [item.name]", "session.config.late",
    ),
    "stash": (
        "KEY = pytest.StashKey()\ndef pytest_configure(config): config.stash[KEY] = []",
        "item.config.stash[KEY].append(item.name)", "session.config.stash[KEY]",
    ),
    "session": ("", "item.session.rows = [*getattr(item.session, 'rows', ()), item.name]", "session.rows"),
    "pytest itself": ("pytest.rows = []", "pytest.rows.append(item.name)", "pytest.rows"),
    "closure": (
        "def make():\n    rows = []\n    return rows.append, lambda: rows\nADD, GET = make()",
        "ADD(item.name)", "GET()",
    ),
    "helper module": ("import helper", "helper.note(item.nodeid)", "helper.ROWS"),
    "helper module's function": ("import helper", "helper.note(item.nodeid)", "helper.written()"),
    "helper imported late": (
        "import helper2", "import helper2; helper2.note(item.nodeid)", "__import__('helper2').ROWS",
    ),
    "name of the helper": ("from helper import ROWS, note", "note(item.nodeid)", "ROWS"),
    "XML": (
        "import xml.etree.ElementTree as ET\nROOT = ET.Element('r')",
        "ET.SubElement(ROOT, 't', name=item.name)", "ET.tostring(ROOT).decode()",
    ),
    "two names of one list": ("ROWS = []\nSAME = ROWS", "ROWS.append(item.name)", "(SAME, ROWS is SAME)"),
    "one of a list's dicts": ("ROWS = [{'n': 0}, {'n': 0}]", "ROWS[len(item.name) % 2]['n'] += 1", "ROWS"),
}  # fmt: skip


def plugin(number: int, before: str, gather: str, read: str) -> str:
    """A plugin that gathers in one of these ways."""
    return "\n".join((
        "import pathlib, pytest",
        before,
        "@pytest.hookimpl(wrapper=True)",
        "def pytest_runtest_makereport(item, call):",
        "    report = yield",
        "    gather(item, call, report)",
        "    return report",
        "def gather(item, call, report):",
        f"    {gather}",
        "def read(session):",
        f"    return {read}",
        "def pytest_sessionfinish(session):",
        f"    pathlib.Path('gathered{number}.txt').write_text(str(read(session)))",
        "def pytest_terminal_summary(terminalreporter):",
        f"    terminalreporter.write_line('{number} ' + pathlib.Path('gathered{number}.txt').read_text()[:1000])",
    ))  # fmt: skip


def write_ways(project: Any) -> None:
    """Each way is a plugin of its own, so that one run holds them all against plain pytest."""
    names = {way: f"way{number}" for number, way in enumerate(WAYS)}
    project.write(TESTS)
    project.write({f"{names[way]}.py": plugin(number, *WAYS[way]) for number, way in enumerate(WAYS)})
    project.write({
        "conftest.py": f"pytest_plugins = {[*names.values()]}\n",
        "helper.py": "ROWS = []\ndef note(x): ROWS.append(x)\ndef written(): return ROWS\n",
        "helper2.py": "ROWS = []\ndef note(x): ROWS.append(x)\n",
    })  # fmt: skip


def assert_gathered(plain: Any, ours: Any) -> None:
    """Every way wrote what plain pytest wrote."""
    texts = {way: plain.read(f"gathered{number}.txt") for number, way in enumerate(WAYS)}
    assert {way: ours.read(f"gathered{number}.txt") for number, way in enumerate(WAYS)} == texts
    assert [way for way, text in texts.items() if text in ("", "[]", "{}", "0", "None", "()", "set()")] == []
    assert unlike(ours) == []


def unlike(result: Any) -> list[str]:
    return [line for line in result.notices if re.search(r"session-end|lost", line)]


@pytest.mark.parametrize(
    "how", ["--hotreload-isolate=test", "--hotreload-isolate=worker", "--hotreload-isolate=strict"]
)
def test_conftests_gather_however_isolated(project, how):
    write_ways(project)
    plain, ours = project.both(slots=2, extra=[how])
    assert_gathered(plain, ours)


def test_conftests_gather(project, slots):
    write_ways(project)
    plain, ours = project.both(slots=slots)
    assert_gathered(plain, ours)
    assert_same(plain, ours)


WRITES = """
    import threading
    import pytest
    ROWS, OPEN = [], {}

    @pytest.fixture(autouse=True)
    def note(request):
        ROWS.append(request.node.name)

    def pytest_terminal_summary(terminalreporter):
        terminalreporter.write_line(f"rows {ROWS} open {sorted(OPEN)}")
"""


def test_what_cannot_be_carried_is_named_once(project, slots):
    """The rest of it is there."""
    project.write({
        "conftest.py": WRITES,
        "test_a.py": "import conftest, threading\ndef test_a(): conftest.OPEN['a'] = threading.Lock()\n",
        "test_b.py": "import conftest, threading\ndef test_b(): conftest.OPEN['b'] = threading.Lock()\n",
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert "rows ['test_a', 'test_b'] open []" in ours.lines
    assert unlike(ours) == [
        (
            "hotreload: conftest.py: its session-end hooks miss data that tests stored in conftest.OPEN "
            "(TypeError: cannot pickle '_thread.lock' object); hint: run with --no-hotreload to get all of it"
        )
    ]


def test_a_process_that_a_child_started_is_none_of_the_controllers(project, slots):
    project.write({
        "conftest.py": WRITES + """
    SERVER = None
    def pytest_sessionfinish():
        assert SERVER is None
        """,
        "test_a.py": "import conftest, os\ndef test_a(): conftest.SERVER = os.getpid()\n",
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.status == 0
    assert unlike(ours) == [
        (
            "hotreload: conftest.py: its session-end hooks miss data that tests stored in conftest.SERVER "
            "(it is a process id); hint: run with --no-hotreload to get all of it"
        )
    ]


def test_two_values_that_no_rule_combines_are_named(project, slots):
    project.write({
        "conftest.py": "LAST = 0\ndef set(n):\n    global LAST\n    LAST = LAST * 2 + n\n"
        "def pytest_sessionfinish(): print(LAST)\n",
        "test_a.py": "import conftest\ndef test_a(): conftest.set(1)\n",
        "test_b.py": "import conftest\ndef test_b(): conftest.set(3)\n",
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert unlike(ours) == [
        (
            "hotreload: conftest.py: its session-end hooks miss data that tests stored in conftest.LAST "
            "(two test files gave it different values); hint: run with --no-hotreload to get all of it"
        )
    ]


def test_what_a_dead_child_gathered_is_lost_and_named(project, slots):
    project.write({
        "conftest.py": WRITES,
        "test_a.py": "import os\ndef test_a(): pass\ndef test_dies(): os._exit(3)\n",
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert "rows ['test_b'] open []" in ours.lines
    assert unlike(ours) == ["hotreload: conftest.py: the data from test_a.py was lost with its process"]


def test_hooks_of_ones_own(project, slots):
    """What no comparison sees: a conftest says what it gathered, and adds it up."""
    project.write({
        "conftest.py": """
            import array, pytest
            SEEN = array.array("i")

            @pytest.fixture(autouse=True)
            def see(request):
                SEEN.append(len(request.node.name))

            @pytest.hookimpl(optionalhook=True)
            def pytest_hotreload_gather(config):
                return SEEN.tolist()

            @pytest.hookimpl(optionalhook=True)
            def pytest_hotreload_merge(config, gathered):
                SEEN.extend(gathered)

            def pytest_terminal_summary(terminalreporter):
                terminalreporter.write_line(f"seen {SEEN.tolist()}")
        """,
        "test_a.py": "def test_a(): pass\ndef test_aa(): pass\n",
        "test_b.py": "def test_bbb(): pass\n",
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert "seen [6, 7, 8]" in ours.lines
    assert unlike(ours) == []


def test_a_dict_is_no_list_of_items(project, slots):
    """`items` may be the method of a dict: what a test puts on its item is not missed then."""
    project.write({
        "conftest.py": "DATA = {}\ndef pytest_sessionfinish():\n    for each in DATA.items(): print(each)\n"
        "def pytest_runtest_setup(item):\n    plain = item.runtest\n    item.runtest = lambda: plain()\n",
        "test_a.py": "def test_a(): pass\n",
    })  # fmt: skip
    project.same(slots=slots)


HANDS_OVER = """
    import pathlib
    class Gathers:
        def __init__(self, config): self.config, self.rows = config, []
        def pytest_runtest_logreport(self, report): self.rows.append(report.nodeid)
        def pytest_runtest_makereport(self, item, call): self.rows.append(call.when)
        def pytest_sessionfinish(self, session):
            if hasattr(self.config, "workerinput"):
                self.config.workeroutput["rows"] = self.rows
        def pytest_testnodedown(self, node): self.rows += node.workeroutput["rows"]
        def pytest_unconfigure(self): print(sorted(row for row in self.rows if "::" not in row))
    def pytest_configure(config): config.pluginmanager.register(Gathers(config))
    """


def test_what_is_handed_over_is_not_gathered_as_well(project, slots):
    project.write({
        "conftest.py": HANDS_OVER,
        "test_a.py": "def test_a(): pass\n",
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    _, ours = project.same("-p", "xdist", slots=slots)
    assert "['call', 'call', 'setup', 'setup', 'teardown', 'teardown']" in ours.output


def test_state_that_nobody_reads_at_the_end_stays(project, slots):
    """Caches and connections of tests are no news."""
    project.write({
        "conftest.py": "import threading\nCACHE = {}\ndef pytest_sessionfinish(): pass\n",
        "test_a.py": "import conftest, threading\ndef test_a(): conftest.CACHE['a'] = threading.Lock()\n",
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert unlike(ours) == []


def test_modules_that_tests_put_in_place_are_no_data(project, slots):
    """Fake file systems do that."""
    project.write({
        "conftest.py": "import json, os\nROWS = []\n"
        "def pytest_sessionfinish():\n    assert (json.dumps(ROWS), os.sep) == ('[1]', '/')\n",
        "test_a.py": "import conftest, types\ndef test_a():\n    conftest.ROWS.append(1)\n"
        "    conftest.os = conftest.json = types.ModuleType('fake')\n",
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.status == 0
    assert unlike(ours) == []


def test_interrupted_and_stopped_runs_write_what_ran(project, slots):
    project.write({
        "conftest.py": WRITES,
        "test_a.py": "def test_a(): assert 0\ndef test_b(): pass\n",
        "test_b.py": "def test_c(): pass\n",
    })  # fmt: skip
    _, ours = project.same("-x", slots=slots)
    assert "rows ['test_a'] open []" in ours.lines
    project.write({"test_a.py": "def test_a(): pass\ndef test_b(): raise KeyboardInterrupt\n"})
    _, ours = project.same(slots=slots)
    assert "rows ['test_a', 'test_b'] open []" in ours.lines
