"""Modules are mapped to the distributions that installed them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hotreload.records.distributions import Distributions

TOPS = st.sampled_from(["yaml", "_yaml", "attr", "PIL", "one", "two"])
#: What a distribution says of its modules: their names, or its files.
LISTS = st.lists(TOPS, max_size=3)
INSTALLED = st.lists(
    st.tuples(st.sampled_from(["pyyaml", "attrs", "Pillow", "one", "zz_top"]), LISTS, LISTS, st.booleans()),
    max_size=4,
    unique_by=lambda each: each[0],
)


def install(folder: Path, name: str, listed: list[str], recorded: list[str], *, has_list: bool) -> None:
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    if has_list:
        (metadata / "top_level.txt").write_text("\n".join(listed))
    files = []
    for number, top in enumerate(recorded):
        files.append(f"{top}/__init__.py" if number % 2 else f"{top}.cpython-312-x86_64-linux-gnu.so")
        place = folder / files[-1]
        place.parent.mkdir(exist_ok=True)
        place.touch()
    lines = [f"{file},sha256=abc,1" for file in [*files, f"{metadata.name}/RECORD", "../../../bin/tool"]]
    (metadata / "RECORD").write_text("\n".join(lines) + "\n")


def expected(installed: list[tuple[str, list[str], list[str], bool]], top: str) -> str | None:
    """By definition: the module's own name, or the first distribution that names it."""
    names = {name.lower().replace("_", "-"): name for name, *_ in installed}
    own = top.lower().replace("_", "-")
    if own in names:
        return own
    ordered = sorted(installed, key=lambda each: f"{each[0]}-1.0.dist-info")
    for name, listed, recorded, has_list in ordered:
        if top in (listed if has_list else recorded):
            return name.lower().replace("_", "-")
    return None


@given(INSTALLED)
@settings(max_examples=60)
def test_each_module_has_the_distribution_that_installed_it(
    installed: list[tuple[str, list[str], list[str], bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, listed, recorded, has_list in installed:
            install(Path(folder), name, listed, recorded, has_list=has_list)
        versions = {name.lower().replace("_", "-"): "1.0" for name, *_ in installed}
        tops = ["yaml", "_yaml", "attr", "PIL", "one", "two"]
        found = Distributions(versions, [folder]).of([f"{top}.module" for top in tops])
        wanted = {f"{top}.module": expected(installed, top) for top in tops}
        assert found == {name: each for name, each in sorted(wanted.items()) if each}


def test_metadata_that_cannot_be_read_names_nothing(tmp_path: Path) -> None:
    install(tmp_path, "broken", [], ["yaml"], has_list=False)
    (tmp_path / "broken-1.0.dist-info/RECORD").write_bytes(b"yaml/__init__.py,\xff,1\n")
    install(tmp_path, "garbled", ["attr"], ["yaml"], has_list=True)
    (tmp_path / "garbled-1.0.dist-info/top_level.txt").write_bytes(b"yaml\n\xff\n")
    known = Distributions({"broken": "1.0", "garbled": "1.0"}, [str(tmp_path), str(tmp_path / "missing")])
    assert known.of(["yaml", "attr", "json"]) == {}
