"""A program that reads the keys of a real terminal and says what it sees."""

from __future__ import annotations

import os
import re
import sys
import termios
import textwrap
from collections.abc import Mapping
from pathlib import Path

from .terminals import Terminal

#: Says what it sees. ``q`` leaves the loop, other letters do what BEFORE and ACTIONS say.
PROGRAM = """
import atexit, os, select, signal, subprocess, sys, termios, time
from pytest_hotreload.watch.keyboard import Keyboard

def say(*words):
    print(*words, file=sys.stderr, flush=True)

{before}
keyboard = Keyboard()
keyboard.on_suspend = lambda: say("suspends")
keyboard.on_resume = lambda: say("resumed", keyboard.listening)
ACTIONS = {{}}

def on(key):
    return lambda action: ACTIONS.setdefault(key, action)
{actions}
say("ready", keyboard.is_terminal)
leave = False
while not keyboard.closed and not leave:
    select.select([keyboard] if keyboard.listening else [], [], [], 0.05)
    for key in keyboard.keys():
        say("key", ascii(key))
        leave = key == "q"
        ACTIONS.get(key, lambda: None)()
say("left", keyboard.closed)
"""

ASKS = """
@on("a")
def ask():
    say("answer", repr(keyboard.ask("> ")))
"""


def start_reading(
    folder: Path, actions: str, before: str, through: str, columns: int, environ: Mapping[str, str]
) -> Terminal:
    """Start the program on a terminal, by the shell command ``through``, which names it ``$KEYS``."""
    parts = {"before": textwrap.dedent(before), "actions": textwrap.dedent(actions)}
    script = folder / "keys.py"
    script.write_text(PROGRAM.format(**parts))
    return Terminal(
        ["sh", "-c", through],
        cwd=folder,
        env={**os.environ, "TERM": "xterm", "KEYS": f"{sys.executable} {script}", **environ},
        rows=12,
        columns=columns,
    )


def keys(terminal: Terminal, since: int = 0) -> list[str]:
    return re.findall(r"^key '(.*)'$", terminal.text(since), re.MULTILINE)


def as_before(terminal: Terminal) -> bool:
    """Whether the terminal has its first modes and was told to send pasted text as it is."""
    told = terminal.log.rfind("\x1b[?2004l") >= terminal.log.rfind("\x1b[?2004h")
    return told and terminal.modes() == terminal.modes_before


def for_keys(terminal: Terminal) -> bool:
    """Whether the terminal neither echoes nor waits for a line, and otherwise has its first modes."""
    now, before = terminal.modes(), terminal.modes_before
    changed = termios.ECHO | termios.ICANON
    return now[:3] == before[:3] and now[3] == before[3] & ~changed and bool(now[3] & termios.ISIG)


def for_a_line(terminal: Terminal) -> bool:
    """Whether the terminal is in its own line mode, in which Ctrl-C sends no signal and Ctrl-Z sends one."""
    now, before = terminal.modes(), terminal.modes_before
    same = now[:6] == before[:6] and now[6][termios.VSUSP] == before[6][termios.VSUSP]
    return same and now[6][termios.VINTR] != before[6][termios.VINTR]
