"""A headless Chromium, driven over a pair of pipes by the protocol of its developer tools. No driver, no port.

with Browser() as browser:
    page = browser.open(path, dark=True)
    page.evaluate("document.title")
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: Names under which it is found; ``HOTRELOAD_BROWSER`` names one elsewhere.
_NAMES = (
    "chromium",
    "chromium-browser",
    "chromium-headless-shell",
    "google-chrome",
    "google-chrome-stable",
    "headless_shell",
)
#: It reads commands from descriptor 3 and answers on 4; ours are brought there.
_LAUNCH = (
    "import os, sys; [os.dup2(int(sys.argv[n]), n + 2) for n in (1, 2)]; os.execv(sys.argv[3], sys.argv[3:])"
)
#: A browser that does not answer for so long hangs. It starts within 2 s on a busy machine.
_HUNG_SECONDS = 60.0


def found() -> str | None:
    """The browser of this machine, if there is one."""
    named = os.environ.get("HOTRELOAD_BROWSER")
    if named:
        return shutil.which(named)
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """``folder``: for its profile."""

    def __init__(self, folder: Path) -> None:
        program = found()
        assert program is not None, "no browser: ask found() before"
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        given = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in (theirs_in, theirs_out)]
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _LAUNCH, *map(str, given), program),
                *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
                *("--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
                f"--user-data-dir={folder / 'browser'}",
            ],
            pass_fds=given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for descriptor in (theirs_in, theirs_out, *given):
            os.close(descriptor)
        self._in, self._out = ours_in, ours_out
        self._number, self._data = 0, b""
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError, AssertionError):
            self.ask("Browser.close")
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def ask(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Send a command; its result. Events that come before are kept."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _HUNG_SECONDS
        while b"\0" not in self._data:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser has gone"
            self._data += data
        text, _, self._data = self._data.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def open(
        self, path: Path, *, dark: bool = False, script: bool = True, size: tuple[int, int] = (1280, 900)
    ) -> Page:
        """A page that is loaded, in light or dark, with JavaScript or without."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.ask("Emulation.setEmulatedMedia", features=[scheme])
        page.resize(*size)
        page.ask("Emulation.setScriptExecutionDisabled", value=not script)
        page.ask("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in page.events):
            self.events.append(self._next())
        return page


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.ask(method, self.session, **params)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for event in self.browser.events if event.get("sessionId") == self.session]

    def resize(self, width: int, height: int) -> None:
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def evaluate(self, expression: str) -> Any:
        """The value of an expression; promises are waited for. Raises AssertionError where it throws."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def key(self, key: str) -> None:
        """Press a key, where the focus is."""
        text = {"text": key} if len(key) == 1 else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """``kind``: mouseMoved, mousePressed, mouseReleased."""
        button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def troubles(self) -> list[str]:
        """What the console would show: exceptions, refused scripts, requests that failed."""
        shown = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in shown]

    def requests(self) -> list[str]:
        """Every address that it asked for."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]
