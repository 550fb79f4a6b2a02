"""Draw what a terminal shows of a real run: `python scripts/picture.py watch docs/pictures/watch.svg`.

A scenario is a list of steps: what is started in a copy of examples/shop, waited for, edited, pressed, and when
the screen is taken. Run by the Python of an environment that holds the shop's requirements, the plugin and
pyte. Apart from the times that pytest tells, each run draws the same. With `--stacked`, one screen is drawn below
the other, and nothing moves.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from svg import Cell, Frame, hide, moving, stacked

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.acceptance.terminals import Terminal  # noqa: E402 - found by the line above

SHOP = ROOT / "examples" / "shop"
ROWS, COLUMNS = 30, 128
#: Longest wait for one step; the slowest, the first run of all, takes 5 s on two cores.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Start:
    """Type a command: ``pytest …``, run by this Python."""

    command: str


@dataclass(frozen=True)
class Wait:
    """Wait until what was written since the last step that did something matches."""

    pattern: str


@dataclass(frozen=True)
class Edit:
    """Replace what stands once in a file of the shop."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Press:
    keys: str


@dataclass(frozen=True)
class Shot:
    """Take the screen."""

    caption: str
    seconds: float


@dataclass(frozen=True)
class End:
    """Wait for the end of the command."""

    status: int


Step = Start | Wait | Edit | Press | Shot | End

_WATCHING = "watching, h for help"
_RIGHT, _WRONG = "brings {weight_grams} g to", "brings {weight_grams} kg to"

#: Name -> title, steps.
SCENARIOS: dict[str, tuple[str, list[Step]]] = {
    "watch": (
        "pytest --hotreload --watch runs what an edit affects, again and again",
        [
            Start("pytest --hotreload --watch -q --tb=short"),
            Wait(_WATCHING),
            Shot("It starts once and runs everything.", 3.0),
            Edit("shop/shipping.py", _RIGHT, _WRONG),
            Wait("(?s)FAIL.*" + _WATCHING),
            Shot("shop/shipping.py is broken: the one test file that depends on it runs.", 5.0),
            Edit("shop/shipping.py", _WRONG, _RIGHT),
            Wait("(?s)PASS.*" + _WATCHING),
            Shot("It is mended.", 4.0),
            Press("q"),
            End(0),
        ],
    ),
    "run": (
        "pytest --hotreload",
        [
            Start("pytest --hotreload tests/test_shipping.py tests/test_money.py"),
            Wait("passed in"),
            End(0),
            Shot("All is well.", 3.0),
            Edit("shop/shipping.py", _RIGHT, _WRONG),
            Start("pytest --hotreload --tb=short --affected"),
            Wait("failed"),
            End(1),
            Shot("shop/shipping.py is broken.", 3.0),
        ],
    ),
}


class PictureError(Exception):
    """The scenario could not be played, or the picture would tell too much."""


def play(steps: Sequence[Step], project: Path) -> list[Frame]:
    """Run a scenario; the screens that it takes."""
    player = Player(project)
    try:
        for step in steps:
            player.play(step)
    finally:
        player.close()
    return player.frames


class Player:
    """One scenario: the terminal of its last command, and the screens so far."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.frames: list[Frame] = []
        self._terminal: Terminal | None = None
        self._mark = 0

    @property
    def terminal(self) -> Terminal:
        if self._terminal is None:
            raise PictureError("nothing was started; hint: begin a scenario with Start")
        return self._terminal

    def play(self, step: Step) -> None:
        if isinstance(step, Start):
            self._start(step)
        elif isinstance(step, Wait):
            self.terminal.wait_for(re.compile(step.pattern), since=self._mark, timeout=PATIENCE_SECONDS)
        elif isinstance(step, Edit):
            self._mark = self.terminal.mark()
            edit(self.project, step)
        elif isinstance(step, Press):
            self._mark = self.terminal.mark()
            self.terminal.press(step.keys)
        elif isinstance(step, Shot):
            self._take(step)
        else:
            self._end(step)

    def _start(self, step: Start) -> None:
        self.close()
        self._mark = 0
        self._terminal = Terminal(
            ["sh", "-c", started(step.command)],
            cwd=self.project,
            env=environment(),
            rows=ROWS,
            columns=COLUMNS,
        )

    def _take(self, step: Shot) -> None:
        self.terminal.screen()
        rows = cells(self.terminal.emulator, self.project)
        self.frames.append(Frame(rows, step.caption, step.seconds))

    def _end(self, step: End) -> None:
        status = self.terminal.wait(PATIENCE_SECONDS)
        if status != step.status:
            shown = "\n".join(self.terminal.screen())
            raise PictureError(f"exit status {status}, not {step.status}:\n{shown}")

    def close(self) -> None:
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None


def started(command: str) -> str:
    """Shell code that shows the command as it would be typed, and runs it."""
    program, _, rest = command.partition(" ")
    return f"printf '$ {command}\\n'; exec '{sys.executable}' -m {program} {rest}"


def environment() -> dict[str, str]:
    """Nothing of this machine but what finds the programs; no plugin but the shop's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "LANG") if name in os.environ}
    return {
        **kept,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "-p pytest_hotreload.plugin -p anyio",
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
        "LINES": str(ROWS),
    }


def edit(project: Path, step: Edit) -> None:
    file = project / step.file
    text = file.read_text(encoding="utf-8")
    if text.count(step.old) != 1:
        raise PictureError(
            f"{step.file} has {step.old!r} {text.count(step.old)} times; hint: mend the scenario"
        )
    file.write_text(text.replace(step.old, step.new), encoding="utf-8")


def cells(screen: object, project: Path) -> list[list[Cell]]:
    """The emulator's rows, without the empty ones below, and with names that mean something to others."""
    buffer, columns, lines = (getattr(screen, name) for name in ("buffer", "columns", "lines"))
    rows = [[buffer[line][column] for column in range(columns)] for line in range(lines)]
    while rows and not "".join(cell.data for cell in rows[-1]).strip():
        rows.pop()
    return hide(rows, {str(project): "~/shop", sys.prefix: "~/venv", sys.base_prefix: "~/python"})


def told(picture: str) -> list[str]:
    """What a picture tells of the machine on which it was made."""
    secrets = {
        "the home folder": str(Path.home()),
        "a temporary folder": tempfile.gettempdir() + "/",
        "the checkout": str(ROOT),
        "the host": socket.gethostname(),
        "the environment": sys.prefix,
        "the user": f"/{getpass.getuser()}/",
    }
    return [what for what, name in secrets.items() if name in picture]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--stacked", action="store_true", help="one screen below the other, nothing moves")
    asked = parser.parse_args(arguments)
    title, steps = SCENARIOS[asked.scenario]
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder).resolve() / "shop"
        left_out = shutil.ignore_patterns("__pycache__", ".pytest_cache")
        shutil.copytree(SHOP, project, ignore=left_out)
        try:
            picture = (stacked if asked.stacked else moving)(play(steps, project), title)
            if secrets := told(picture):
                raise PictureError(f"the picture names {', '.join(secrets)}")
        except (PictureError, AssertionError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    asked.picture.parent.mkdir(parents=True, exist_ok=True)
    asked.picture.write_text(picture, encoding="utf-8")
    print(f"{asked.picture}: {len(picture) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
