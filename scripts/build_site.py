"""Builds the documentation site: lays the pages of docs/ and of the root together, and calls mkdocs in strict mode.

    python scripts/build_site.py build/site

On the site, the README is the first page, and a link to a file that is no page leads to the repository.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = ROOT / "build" / "site-pages"
#: File of the repository -> its place on the site; all files of docs/ keep theirs.
MOVED: Final = {
    "README.md": "index.md",
    **{name: name for name in ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")},
    "examples/ci/README.md": "examples/ci.md",
}
#: The anchors of headings as on GitHub, where the same pages are read, too.
SLUGIFY: Final = "slugify: !!python/object/apply:pymdownx.slugs.slugify {kwds: {case: lower}}"
_LINK: Final = re.compile(r"(?P<before>\]\()(?P<target>[^)#:\s]+)(?P<anchor>#[^)]*)?\)")
_NESTED: Final = re.compile(r"^  (?=[-*] )", re.MULTILINE)
_FENCE: Final = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)


def pages() -> dict[str, str]:
    """File of the repository -> its place on the site, for each page and picture."""
    below = (path for path in sorted((ROOT / "docs").rglob("*")) if path.is_file())
    own = {path.relative_to(ROOT).as_posix(): path.relative_to(ROOT / "docs").as_posix() for path in below}
    return {**own, **MOVED}


def with_links(text: str, file: str, places: dict[str, str], repository: str) -> str:
    """The text with its links changed to places on the site, or to the repository; code stays as it is.

    Lists in lists are indented by two spaces in the repository, and mkdocs wants four.
    """

    def changed(found: re.Match[str]) -> str:
        target = os.path.normpath(f"{os.path.dirname(file)}/{found['target']}".lstrip("/"))  # noqa: PTH120
        anchor = found["anchor"] or ""
        if target in places:
            here = os.path.dirname(places[file]) or "."  # noqa: PTH120
            return f"{found['before']}{os.path.relpath(places[target], here)}{anchor})"
        if not (ROOT / target).exists():
            sys.exit(f"error: {file} links to {found['target']}, which does not exist")
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"{found['before']}{repository}/{kind}/main/{target}{anchor})"

    parts = _FENCE.split(text)
    return "".join(
        part if part.startswith("```") else _NESTED.sub("    ", _LINK.sub(changed, part)) for part in parts
    )


def lay_out(repository: str) -> dict[str, str]:
    """Write all pages into one folder, and return their places."""
    shutil.rmtree(PAGES, ignore_errors=True)
    places = pages()
    for file, place in places.items():
        to = PAGES / place
        to.parent.mkdir(parents=True, exist_ok=True)
        if file.endswith(".md"):
            text = (ROOT / file).read_text(encoding="utf-8")
            to.write_text(with_links(text, file, places, repository), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / file, to)
    return places


def navigation(nav: list[Any]) -> list[Any]:
    """The navigation, with the design pages filled in."""
    found: list[Any] = []
    for entry in nav:
        ((title, below),) = entry.items()
        if title == "Design":
            names = sorted(path.name for path in (ROOT / "docs" / "design").glob("*.md"))
            found.append({title: [f"design/{name}" for name in names]})
        elif isinstance(below, list):
            found.append({title: navigation(below)})
        else:
            found.append(entry)
    return found


def configuration() -> dict[str, Any]:
    said: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    said["nav"] = navigation(said["nav"])
    return said


def main(folder: str) -> int:
    said = configuration()
    lay_out(said["repo_url"])
    said["docs_dir"], said["site_dir"] = str(PAGES), str(Path(folder).resolve())
    written = ROOT / "build" / "mkdocs.yml"
    written.write_text(
        yaml.safe_dump(said, sort_keys=False).replace("slugify: github", SLUGIFY), encoding="utf-8"
    )
    # Not --quiet: the strict mode counts only warnings that are logged.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--config-file", str(written)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    print(f"{folder}: {sum(1 for _ in Path(folder).rglob('index.html'))} pages, no broken link")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
