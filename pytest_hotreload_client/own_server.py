"""Starts a server behind a cold run, so that the next runs find a template (docs/design/attaching.md).

The client has no pytest to read the settings with. It looks for the one that concerns it in the text of the nearest
settings file, to say the right line and start nothing in vain; the server, which has pytest, decides by pytest's rules.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing collections takes 2 ms
    from collections.abc import Sequence

#: The setting, in the ini file, and the environment variable that goes before it.
SETTING = "hotreload_serve"
VARIABLE = "PYTEST_HOTRELOAD_SERVE"
#: Minutes without a run after which a server ends that a run started.
IDLE_MINUTES = 15.0
#: The option of the command ``serve`` by which a server knows that a run started it.
STARTED = "--started-by-run"

_AUTO, _OFF = "auto", "off"
#: The files in which pytest looks for its settings, in its order, and how its section begins there.
FILES = (
    ("pytest.toml", b"[pytest"),
    (".pytest.toml", b"[pytest"),
    ("pytest.ini", b""),
    (".pytest.ini", b"[pytest"),
    ("pyproject.toml", b"[tool.pytest"),
    ("tox.ini", b"[pytest"),
    ("setup.cfg", b"[tool:pytest"),
)
#: Arguments with which pytest runs no test, and the end of the arguments that are options.
_ASKING = ("-h", "--help", "-V", "--version", "--markers", "--fixtures")
#: Descriptors up to this number are closed in the server: an agent waits for the end of its pipes.
_DESCRIPTORS = 65536
#: Seconds between two looks at the run where the system has no descriptors of processes (macOS).
_LOOK = 0.1


def minutes(value: str) -> float | None:
    """The idle minutes that this value of the setting stands for; None for off. Raises ValueError."""
    if value == _OFF:
        return None
    found = IDLE_MINUTES if value == _AUTO else float(value)
    if not 0 < found < float("inf"):
        raise ValueError(value)
    return found


def wrong(value: str) -> str:
    """What to tell a user who wrote this value."""
    return f"{SETTING} is {value!r}, not auto, off or a number of minutes above 0"


def wanted(arguments: Sequence[str]) -> float | None:
    """The idle minutes of the server to start behind a run with these arguments; None for no server.

    Raises ValueError with a text for the user if the setting has a wrong value.
    """
    if os.environ.get("CI", "") not in ("", "0", "false") or any(each in _ASKING for each in arguments):
        return None
    value = os.environ.get(VARIABLE, "") or _given(
        [*os.environ.get("PYTEST_ADDOPTS", "").split(), *arguments]
    )
    value = value or _written()
    try:
        return minutes(value or _AUTO)
    except ValueError:
        raise ValueError(wrong(value)) from None


def _given(arguments: Sequence[str]) -> str:
    """The value that ``-o hotreload_serve=…`` gives."""
    found = ""
    for argument in arguments:
        _, name, value = argument.partition(f"{SETTING}=")
        if name:
            found = value
    return found


def _written() -> str:
    """The value in the nearest settings file, or ""."""
    try:
        folder = os.getcwd()  # noqa: PTH109 - pathlib takes 5 ms
    except OSError:
        return ""
    while True:
        for name, section in FILES:
            try:
                with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123
                    text = file.read()
            except OSError:
                continue
            if section in text:
                return _value(text)
        if folder == os.path.dirname(folder):  # noqa: PTH120
            return ""
        folder = os.path.dirname(folder)  # noqa: PTH120


def _value(text: bytes) -> str:
    for line in text.split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals and name.strip() == SETTING.encode():
            return os.fsdecode(value.partition(b"#")[0].strip().strip(b"\"'"))
    return ""


def start(flags: Sequence[str]) -> None:
    """Start a server that begins when this process, which becomes a cold run, has ended.

    The server belongs to no terminal, session or parent of this process, and holds none of its files. ``flags``: the
    interpreter's. Raises OSError if the system refuses.
    """
    run = os.getpid()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if not os.fork():
            _become_server(run, flags)
    finally:
        os._exit(0)


def _become_server(run: int, flags: Sequence[str]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.closerange(3, _DESCRIPTORS)
    _wait_for_end(run)
    os.execv(sys.executable, [sys.executable, *flags, "-m", "pytest_hotreload_client", "serve", STARTED])


def _wait_for_end(run: int) -> None:
    """Wait until the run has ended: a server that starts beside it would take its time."""
    import select
    from time import sleep

    try:
        poll = select.poll()
        poll.register(os.pidfd_open(run), select.POLLIN)
        poll.poll()
    except (AttributeError, OSError):
        try:
            while True:
                os.kill(run, 0)
                sleep(_LOOK)
        except OSError:
            return
