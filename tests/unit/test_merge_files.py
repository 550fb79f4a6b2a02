"""The files in shards' folders: found by content, merged by kind, refused if damaged."""

from __future__ import annotations

import json
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import pytest

from pytest_hotreload.ci import merge_coverage, merge_files
from pytest_hotreload.ci.merge_files import RefusedError, ShardFiles, find

JUNIT = (
    '<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" tests="{}" '
    'failures="1" errors="0" skipped="2" time="1.5"><testcase name="é&lt;"/></testsuite></testsuites>'
)
START = '{"pytest_version": "9.2.0", "$report_type": "SessionStart"}\n'
FINISH = '{"exitstatus": 0, "$report_type": "SessionFinish"}\n'


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def database(path: Path, table: str) -> Path:
    with sqlite3.connect(path) as data:
        data.execute(f"create table {table} (x)")
    data.close()
    return path


def names(paths: Iterable[Path], top: Path) -> list[str]:
    return [path.relative_to(top).as_posix() for path in paths]


def test_found_by_content(tmp_path: Path) -> None:
    written(
        tmp_path / "1/a.txt", '\n { "schema" : "hotreload-results/1", "tests": ['
    )  # cut off, and known for it
    written(tmp_path / "1/b", '{"schema": "hotreload-results/7"}')
    written(tmp_path / "1/c.json", '{"schema": "hotreload-plan/1", "x": "hotreload-results/1"}')
    written(tmp_path / "2/x.bin", "\ufeff" + JUNIT)
    written(tmp_path / "2/y", "<!-- a > b --><?xml?>\n<testsuite/>")
    written(tmp_path / "2/page.xml", "<html><testsuites/></html>")
    written(tmp_path / "3/log", START + FINISH)
    written(tmp_path / "3/other.json", '{"a": 1}\n{"$report_type": "SessionStart"}\n')
    database(tmp_path / ".coverage.host.1", "coverage_schema")
    database(tmp_path / "other.db", "stock")
    written(tmp_path / "fake.db", "SQLite format 3\0 coverage_schema")
    written(tmp_path / "4/records-5/CACHEDIR.TAG", "Signature\n# The records of pytest-hotreload.\n")
    written(tmp_path / "4/records-5/tree/a.json", '{"schema": "hotreload-results/1"}')
    written(tmp_path / "4/records-5/a.json", "")
    written(tmp_path / "empty", "")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    (tmp_path / "again").symlink_to(tmp_path / "1/a.txt")
    # More than once, and through a link: each thing is found once.
    found = find([tmp_path, tmp_path / "1", tmp_path / "2/.."], [])
    assert sorted(path.resolve() for path in found.results) == [tmp_path / "1/a.txt", tmp_path / "1/b"]
    assert names(found.junit, tmp_path) == ["2/x.bin", "2/y"]
    assert names(found.report_logs, tmp_path) == ["3/log"]
    assert names(found.coverage, tmp_path) == [".coverage.host.1"]
    assert names(found.stores, tmp_path) == ["4"]


def test_what_is_to_be_written_is_not_read(tmp_path: Path) -> None:
    written(tmp_path / "whole.xml", JUNIT)
    written(tmp_path / "cache/d/hotreload/records-5/CACHEDIR.TAG", "# The records of pytest-hotreload.\n")
    assert find([tmp_path], [tmp_path / "whole.xml", tmp_path / "cache"]) == ShardFiles()


def test_homes_are_the_nearest_results(tmp_path: Path) -> None:
    results = [written(tmp_path / "1/r.json", ""), written(tmp_path / "2/deep/r.json", "")]
    inside, beside, nowhere = tmp_path / "1/a/b.xml", tmp_path / "2/deep/b.xml", tmp_path / "2/b.xml"
    assert merge_files.homes([inside, beside, nowhere], results) == {
        inside: tmp_path / "1",
        beside: tmp_path / "2/deep",
        nowhere: None,
    }


def test_junit(tmp_path: Path) -> None:
    paths = [written(tmp_path / "1.xml", JUNIT.format(4)), written(tmp_path / "2.xml", JUNIT.format(5))]
    paths.append(written(tmp_path / "3.xml", '<testsuite name="x" tests="1" time="0.25"/>'))
    merge_files.junit(paths, tmp_path / "out/whole.xml")
    root = ET.parse(tmp_path / "out/whole.xml").getroot()
    assert root.attrib == {
        "name": "pytest tests",
        "tests": "10",
        "failures": "2",
        "errors": "0",
        "skipped": "4",
        "time": "3.250",
    }
    assert [suite.get("name") for suite in root] == ["pytest", "pytest", "x"]
    assert [case.get("name") for case in root.iter("testcase")] == ["é<", "é<"]
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["whole.xml"]


@pytest.mark.parametrize("text", [JUNIT[:90], JUNIT.format("many"), "<testsuites"])
def test_damaged_junit(tmp_path: Path, text: str) -> None:
    good, bad = written(tmp_path / "1.xml", JUNIT.format(1)), written(tmp_path / "2.xml", text)
    with pytest.raises(RefusedError, match=r"2\.xml: not a JUnit XML file that can be merged"):
        merge_files.junit([good, bad], tmp_path / "whole.xml")
    assert not (tmp_path / "whole.xml").exists()


def test_report_log(tmp_path: Path) -> None:
    events = [
        '{"nodeid": "a \u2028 b", "$report_type": "TestReport"}\n',
        '{"$report_type": "CollectReport"}\n',
    ]
    paths = [written(tmp_path / "1", START + events[0] + FINISH), written(tmp_path / "2", START + events[1])]
    merge_files.report_log(paths, tmp_path / "whole", 3)
    whole = (tmp_path / "whole").read_text(encoding="utf-8")
    assert whole == START + "".join(events) + FINISH.replace("0", "3")


def test_damaged_report_log(tmp_path: Path) -> None:
    path = written(tmp_path / "1", START + '{"$report_type": "TestRep')
    with pytest.raises(RefusedError, match="line 2 is not an event of a report log"):
        merge_files.report_log([path], tmp_path / "whole", 0)
    assert json.loads(START)
    assert not (tmp_path / "whole").exists()


def test_damaged_coverage_is_not_left_out(tmp_path: Path) -> None:
    """As ``coverage combine`` would, with a warning."""
    coverage = pytest.importorskip("coverage")
    good = coverage.CoverageData(basename=str(tmp_path / ".coverage.1"))
    good.add_lines({"a.py": [1, 2]})
    good.write()
    good.close()
    bad = database(tmp_path / ".coverage.2", "coverage_schema")
    merge_coverage.combine([tmp_path / ".coverage.1"], tmp_path / "out/.coverage", None)
    whole = coverage.CoverageData(basename=str(tmp_path / "out/.coverage"))
    whole.read()
    assert whole.lines("a.py") == [1, 2]
    whole.close()
    with pytest.raises(RefusedError, match="coverage can't merge its data: "):
        merge_coverage.combine([tmp_path / ".coverage.1", bad], tmp_path / "other", None)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".coverage.1", ".coverage.2", "out"]
