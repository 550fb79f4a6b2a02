"""Look at a page about a run as a browser shows it: `python scripts/screenshot.py report.html OUT-FOLDER`.

Draws it light and dark, with JavaScript and without, wide and narrow. Needs a Chromium (``HOTRELOAD_BROWSER`` names
one that is not on the path); nothing is installed for it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.acceptance.browser import Browser, found

#: Name -> (dark, with JavaScript, size).
VIEWS = {
    "light": (False, True, (1280, 900)),
    "dark": (True, True, (1280, 900)),
    "plain": (False, False, (1280, 900)),
    "narrow": (False, True, (420, 900)),
}


def main() -> int:
    """Draw all views."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--whole", action="store_true", help="the whole page, not only what is seen first")
    chosen = parser.parse_args()
    if found() is None:
        print("no Chromium was found; hint: HOTRELOAD_BROWSER=/path/to/chromium")
        return 2
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Browser(Path(folder))) as browser:
        for name, (dark, script, size) in VIEWS.items():
            page = browser.open(chosen.page.resolve(), dark=dark, script=script, size=size)
            if chosen.whole:
                page.resize(size[0], int(page.ask("Page.getLayoutMetrics")["cssContentSize"]["height"]))
            page.screenshot(chosen.folder / f"{name}.png", whole=chosen.whole)
            print(chosen.folder / f"{name}.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
