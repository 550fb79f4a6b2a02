"""State that a rewind restores, and state for which it is refused."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from .keeping import outcomes
from .rewound import pids, project, rewound, shown

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="rewinding needs Linux")


def cases(text: str) -> dict[str, tuple[str, str]]:
    """Paragraphs of a name, of what the first file does, and of what the next one does."""
    found = {}
    for paragraph in text.strip().split("\n\n"):
        name, _, bodies = paragraph.partition(":\n")
        first, _, following = bodies.partition("  next:\n")
        found[name] = textwrap.dedent(first).strip(), textwrap.dedent(following).strip()
    return found


#: What a file leaves behind, and how the next one would notice.
RESTORED = cases("""
a global:
    helpers.STATE.append(1)
    helpers.new = 1
  next:
    assert helpers.STATE == [] and not hasattr(helpers, 'new')

a class:
    helpers.Thing.attribute = 2
    del helpers.Thing.method
  next:
    assert helpers.Thing().method() == helpers.Thing.attribute == 1

a builtin:
    import builtins
    builtins.oct = None
  next:
    assert oct(8) == '0o10'

a module:
    import colorsys, sys
    sys.modules['json'] = None
  next:
    import sys
    assert 'colorsys' not in sys.modules
    import json

the environment:
    os.environ['LEFT'] = '1'
    os.environ.pop('PATH')
  next:
    assert 'LEFT' not in os.environ and os.environ['PATH']

the current folder:
    os.chdir('/')
  next:
    assert os.getcwd() == HERE

umask:
    os.umask(0o777)
  next:
    assert os.umask(0o22) != 0o777

open files:
    helpers.kept = [open('/dev/null') for _ in range(20)]
  next:
    assert len(os.listdir('/proc/self/fd')) <= DESCRIPTORS

a closed descriptor:
    os.close(PIPE[0])
    os.dup2(1, PIPE[1])
  next:
    os.write(PIPE[1], b'x')
    assert os.read(PIPE[0], 1) == b'x'

signal handlers:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(0, {signal.SIGUSR2})
  next:
    assert signal.getsignal(signal.SIGUSR1) == 0 and not signal.pthread_sigmask(0, ())

a timer:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
  next:
    time.sleep(0.15)

a pending signal:
    signal.pthread_sigmask(0, {signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGTERM)
  next:
    time.sleep(0.05)

limits:
    import resource
    resource.setrlimit(7, (99, resource.getrlimit(7)[1]))
  next:
    import resource
    assert resource.getrlimit(7)[0] != 99

a daemon thread:
    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
  next:
    assert threading.active_count() == 1

a busy thread:
    threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()
  next:
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.15

native state:
    import decimal, locale, ctypes
    decimal.getcontext().prec = 3
    ctypes.CDLL(None).srand(7)
    sys.setrecursionlimit(77777)
  next:
    import decimal
    assert decimal.getcontext().prec == 28 and sys.getrecursionlimit() != 77777

much memory:
    helpers.kept = [bytearray(1 << 20) for _ in range(100)]
  next:
    assert not hasattr(helpers, 'kept')

tracing:
    sys.settrace(lambda *_: None)
    sys.setprofile(lambda *_: None)
  next:
    assert sys.gettrace() is None and sys.getprofile() is None

a mapping:
    import mmap
    helpers.kept = mmap.mmap(-1, 1 << 24)
    helpers.kept.write(b'x' * 99)
  next:
    assert not hasattr(helpers, 'kept')

logging:
    import logging
    logging.disable(50)
    logging.getLogger().handlers.append(None)
  next:
    import logging
    assert not logging.root.disabled and None not in logging.root.handlers and logging.root.manager.disable == 0

an event loop:
    import asyncio
    loop = helpers.kept = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_in_executor(None, time.sleep, 0)
  next:
    assert not hasattr(helpers, 'kept')

a database:
    import sqlite3
    c = helpers.kept = sqlite3.connect('left.db')
    c.execute('create table if not exists t (x)')
    c.execute('begin exclusive')
  next:
    import sqlite3
    c = sqlite3.connect('left.db', timeout=0.1)
    c.execute('begin exclusive')

a zombie:
    pid = os.fork()
    if not pid: os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
  next:
    try: os.waitpid(-1, os.WNOHANG)
    except ChildProcessError: pass
    else: assert 0

a finished process:
    import subprocess
    subprocess.run(['true'], check=True)
  next:
    pass

an exit handler:
    import atexit
    atexit.register(lambda: open('exited', 'a').write('x'))
  next:
    assert open('exited').read() == 'x'

a locked file:
    import fcntl
    f = helpers.kept = open('lock', 'w')
    fcntl.lockf(f, fcntl.LOCK_EX)
  next:
    import fcntl
    f = open('lock', 'w')
    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)

random numbers:
    random.seed(5)
  next:
    random.random()

the garbage collector:
    import gc
    gc.disable()
    gc.set_threshold(1)
  next:
    import gc
    assert gc.isenabled() and gc.get_threshold()[0] != 1
""")

#: What can't be put back -> the reason that is given with -v.
REFUSED = {
    "a living process": ("import subprocess; helpers.kept = subprocess.Popen(['sleep', '60'])", "process"),
    "no new privileges": ("import ctypes; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)", "no_new_privs"),
}  # fmt: skip


@pytest.mark.slow
def test_each_kind_of_state(tmp_path: Path) -> None:
    """All kinds in one process, each followed by a file that would notice it, with all memory compared."""
    bodies = {}
    for number, (mess, check) in enumerate(RESTORED.values()):
        bodies[f"test_{number:02}_a.py"] = mess
        bodies[f"test_{number:02}_b.py"] = check
    made = project(tmp_path, bodies)
    result = made.run("-v", "--hotreload-rewind=verify", "--hotreload-slots=1", slots=1)
    assert {nodeid: each for nodeid, each in outcomes(result).items() if each != "passed"} == {}, result.raw
    assert result.status == 0
    assert len(result.outcomes) == 2 * len(RESTORED)
    assert rewound(result) == (2 * len(RESTORED) - 1, "")
    assert len(set(pids(result))) <= 3  # the fork point learns modules that two files imported


@pytest.mark.parametrize("kind", REFUSED)
def test_state_that_stays(tmp_path: Path, kind: str) -> None:
    """The next file gets a fork; the outcomes and lines are those of a run that forks for each file."""
    mess, why = REFUSED[kind]
    made = project(tmp_path, {"test_a.py": mess, "test_b.py": "pass", "test_c.py": "pass"})
    result = made.run("-v", slots=1)
    assert set(outcomes(result).values()) == {"passed"}, result.raw
    first, second, third = pids(result)
    assert first != second == third
    files, reason = rewound(result)
    assert files == 1
    assert why in reason
    (made.root("forks") / "pids").unlink()
    forked = made.run("-v", "--hotreload-rewind=off", slots=1)
    assert shown(result) == shown(forked)
