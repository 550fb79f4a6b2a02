"""pytest-cov and ``coverage run``: the same lines, branches, contexts and reports as plain pytest."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

import pytest

pytest.importorskip("pytest_cov", reason="pytest-cov is not installed")

SUITE = {
    "shop/__init__.py": "",
    "shop/price.py": """
        def price(amount, reduced=False):
            if amount < 0:
                raise ValueError(amount)
            if reduced:
                return amount * 0.9
            return amount

        def never():
            return 1
    """,
    "shop/early.py": """
        VALUE = [n for n in range(3)]

        def later():
            for n in VALUE:
                if n > 1:
                    return n
    """,
    "conftest.py": """
        import pytest
        from shop import early

        @pytest.fixture(scope="session")
        def shop():
            yield early.later()
    """,
    "test_a.py": """
        from shop.price import price

        def test_full(shop): assert price(10) == 10
        def test_reduced(): assert price(10, True) == 9
    """,
    "test_b.py": """
        import pytest
        from shop.price import price

        def test_negative():
            with pytest.raises(ValueError):
                price(-1)

        def test_thread():
            import threading
            thread = threading.Thread(target=price, args=(1, True))
            thread.start()
            thread.join()
    """,
}


@pytest.fixture
def covered(project):
    project.plugins = ["pytest_cov"]
    project.write(SUITE)
    return project


def data_files(result: Any) -> list[str]:
    return sorted(
        each.name
        for each in result.root.iterdir()
        if each.name.startswith(".coverage") and each.name != ".coveragerc"
    )


@pytest.mark.parametrize(
    "options",
    [
        "--cov=shop --cov-report=term-missing",
        "--cov=shop --cov-branch --cov-report=term-missing --cov-report=json:cov.json",
        "--cov=. --cov-report=term-missing:skip-covered -v",
        "--cov=shop --cov-report=",
        "--cov=shop --no-cov-on-fail --cov-report=term",
    ],
)
def test_reports_are_plain_pytests(covered, slots, options):
    plain, ours = covered.same(*options.split(), slots=slots)
    assert data_files(ours) == data_files(plain) == [".coverage"]
    if "json" in options:
        assert ours.json("cov.json")["files"] == plain.json("cov.json")["files"]


def test_contexts(covered, slots):
    plain, ours = covered.same("--cov=shop", "--cov-context=test", "--cov-branch", slots=slots)
    assert contexts_of(ours) == contexts_of(plain)
    assert "test_b.py::test_thread|run" in contexts_of(ours)


def contexts_of(result: Any) -> dict[str, list[str]]:
    with sqlite3.connect(result.root / ".coverage") as data:
        rows = data.execute(
            "select c.context, f.path, a.fromno, a.tono from arc a "
            "join context c on c.id = a.context_id join file f on f.id = a.file_id order by 1, 2, 3, 4"
        ).fetchall()
    found: dict[str, list[str]] = {}
    for context, path, *arc in rows:
        found.setdefault(context, []).append(f"{path.rpartition('project/')[2]} {arc}")
    return found


@pytest.mark.parametrize("percent", [70, 100])
def test_a_limit_decides_as_in_plain_pytest(covered, slots, percent):
    _, ours = covered.same("--cov=shop", f"--cov-fail-under={percent}", slots=slots)
    assert ours.status == (0 if percent == 70 else 1)


def test_what_a_dying_test_measured_is_lost_and_nothing_else(covered, slots):
    covered.write({"test_c.py": "import os\ndef test_dies(): os._exit(0)\n"})
    ours = covered.run("--cov=shop", "--cov-report=json:cov.json", slots=slots)
    assert ours.lines[-1] == "== 1 failed, 4 passed in TIME =="
    assert ours.json("cov.json")["files"]["shop/price.py"]["missing_lines"] == [10]
    assert data_files(ours) == [".coverage"]


def test_coverage_run(project, slots):
    """Coverage that somebody else started."""
    project.write(SUITE)
    project.write({".coveragerc": "[run]\nbranch = true\nsource = shop\n"})
    command = type(project).command

    def under_coverage(args: Any, slots: int | None) -> list[str]:
        words = command(project, args, slots)
        return [sys.executable, "-m", "coverage", "run", *words[1:]]

    project.command = under_coverage
    plain, ours = project.same(slots=slots)
    assert data_files(ours) == data_files(plain) == [".coverage"]
    assert contexts_of(ours) == contexts_of(plain)
    assert contexts_of(ours)
