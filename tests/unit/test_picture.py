"""What is drawn of a screen: valid, the same each time, complete, and nothing from outside."""

from __future__ import annotations

import importlib.util
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pyte
import pytest

_NAME = "scripts_svg"
_SPEC = importlib.util.spec_from_file_location(_NAME, Path(__file__).parents[2] / "scripts" / "svg.py")
svg = sys.modules[_NAME] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(svg)

SVG = "{http://www.w3.org/2000/svg}"


def rows(text: str, columns: int = 12, lines: int = 3) -> list[list[pyte.screens.Char]]:
    screen = pyte.Screen(columns, lines)
    pyte.Stream(screen).feed(text)
    return [[screen.buffer[line][column] for column in range(columns)] for line in range(lines)]


def drawn(text: str) -> list[tuple[str, dict[str, str]]]:
    """Each piece of text of a screen of 12 columns with its attributes but for the place; rectangles, too."""
    frame = svg.Frame(rows(text), "", 1.0)
    group = ET.fromstring(svg.stacked([frame], "")).find(f"{SVG}g")
    place = {"x", "y", "textLength", "lengthAdjust", "width", "height", "class"}
    return [
        (each.text or "", {name: value for name, value in each.attrib.items() if name not in place})
        for each in list(group)[:-1]  # the caption
    ]


def frames(*texts: str) -> list:
    return [svg.Frame(rows(text), f"says {text}", 1.0 + number) for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("plain", [("plain", {})]),
        ("  a  b  ", [("a  b", {})]),
        ("\x1b[31mred\x1b[0m and", [("red", {"fill": svg.COLOURS["red"]}), ("and", {})]),
        ("\x1b[33mpassed", [("passed", {"fill": svg.COLOURS["brown"]})]),
        ("\x1b[1;92mPASS", [("PASS", {"fill": svg.COLOURS["brightgreen"], "font-weight": "bold"})]),
        ("\x1b[3;4mlink", [("link", {"font-style": "italic", "text-decoration": "underline"})]),
        ("\x1b[38;5;208morange", [("orange", {"fill": "#ff8700"})]),
        ("\x1b[42m ok ", [("", {"fill": svg.COLOURS["green"]}), (" ok ", {})]),
        ("\x1b[7mturned", [("", {"fill": svg.TEXT}), ("turned", {"fill": svg.PAPER})]),
        ("a < b & 'c'", [("a < b & 'c'", {})]),
        ("one\r\n\x1b[1Btwo", [("one", {}), ("two", {})]),
        ("", []),
    ],
)
def test_what_is_drawn(text, pieces):
    assert drawn(text) == pieces


@pytest.mark.parametrize(
    ("text", "column", "columns"), [("   abc", 3, 3), ("猫猫", 0, 4), ("a\x1b[31m猫", 0, 1)]
)
def test_each_piece_is_where_its_columns_are(text, column, columns):
    frame = svg.Frame(rows(text), "", 1.0)
    first = ET.fromstring(svg.stacked([frame], "")).find(f"{SVG}g/{SVG}text")
    assert float(first.get("x")) == pytest.approx(svg.MARGIN + column * svg.CELL_WIDTH)
    assert float(first.get("textLength")) == pytest.approx(columns * svg.CELL_WIDTH)


def test_each_frame_has_its_time():
    picture = svg.moving(frames("one", "two", "three"), "numbers")
    groups = ET.fromstring(picture).findall(f"{SVG}g")
    assert [group.get("class") for group in groups] == ["f f0", "f f1", "f f2"]
    assert [[text.text for text in group.iter(f"{SVG}text")] for group in groups] == [
        ["one", "says one"],
        ["two", "says two"],
        ["three", "says three"],
    ]
    assert re.findall(r"@keyframes k\d\{(.*?)\}\}", picture) == [
        "0%{visibility:visible}16.67%{visibility:hidden}100%{visibility:hidden",
        "0%{visibility:hidden}16.67%{visibility:visible}50%{visibility:hidden}100%{visibility:hidden",
        "0%{visibility:hidden}50%{visibility:visible}100%{visibility:hidden",
    ]
    assert set(re.findall(r"animation:k\d (\S+) ", picture)) == {"6s"}


def test_where_nothing_moves_the_last_frame_is_seen():
    picture = svg.moving(frames("one", "two"), "numbers")
    assert ".f{visibility:hidden}.f1{visibility:visible}" in picture
    assert "@media(prefers-reduced-motion:reduce){.f{animation:none!important}}" in picture


def test_stacked_frames_stand_below_each_other():
    """Each as high as it is, all as wide as the widest."""
    root = ET.fromstring(svg.stacked(frames("one", "two"), "numbers"))
    one = ET.fromstring(svg.stacked(frames("one"), "numbers"))
    assert [each.get("transform") for each in root.findall(f"{SVG}g")] == [
        "translate(0 0)",
        f"translate(0 {one.get('height')})",
    ]
    assert float(root.get("height")) == 2 * float(one.get("height"))
    assert root.get("width") == one.get("width")


@pytest.mark.parametrize("draw", [svg.moving, svg.stacked])
def test_a_picture_needs_nothing_else(draw):
    picture = draw(frames("one", "<two>"), "a < b")
    assert picture == draw(frames("one", "<two>"), "a < b")
    root = ET.fromstring(picture)
    assert root.find(f"{SVG}title").text == "a < b"
    assert {each.tag.removeprefix(SVG) for each in root.iter()} == {
        "svg",
        "title",
        "style",
        "rect",
        "g",
        "text",
    }
    assert re.findall(r"https?://[^\"\s]*|url\(|@import|href", picture) == ["http://www.w3.org/2000/svg"]


def test_names_of_a_machine_are_hidden():
    """What follows moves along, and the row stays as long as it was."""
    before = rows("at /tmp/x/y:1\x1b[31m!\r\n/tmp/x /tmp/x", columns=20)
    after = svg.hide(before, {"/tmp/x": "~"})
    assert ["".join(cell.data for cell in row).rstrip() for row in after] == ["at ~/y:1!", "~ ~", ""]
    assert {len(row) for row in after} == {20}
    assert after[0][8] == before[0][13]


def test_a_longer_name_is_cut_at_the_edge():
    after = svg.hide(rows("abc", columns=4), {"b": "1234"})
    assert "".join(cell.data for cell in after[0]) == "a123"
