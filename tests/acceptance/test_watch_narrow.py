"""A terminal of 40 columns: the lines of a watch fit into it."""

from __future__ import annotations

TWO = {
    "lib.py": "VALUE = 1\n",
    "test_a_file_with_a_name.py": "import lib\n\ndef test_a(): assert lib.VALUE == 1\n",
    "test_b.py": "def test_b(): pass\n",
}
HELP = """\
  Enter, a  run all
  r         run the last again
  f         run failed tests
  d         debug last failed
  R         new template
  p         filter by path
  t         filter by name (-k)
  m         filter by marker (-m)
  c         clear filters
  h         this help
  e         why each file ran
  s         what is running
  v         show failures again
  P         pause, resume
  q         quit"""
WIDE = """\
  Enter, a  run all             p  filter by path         e  why each file ran
  r         run the last again  t  filter by name (-k)    s  what is running
  f         run failed tests    m  filter by marker (-m)  v  show failures again
  d         debug last failed   c  clear filters          P  pause, resume
  R         new template        h  this help              q  quit"""


def test_forty_columns(desk):
    desk.write(TWO)
    desk.watch(rows=30, columns=40)
    shown = desk.edit({"lib.py": "VALUE = 2\n"})
    lines = shown.splitlines()
    assert lines[-3].startswith("FAIL 1 failed in ")
    assert lines[-2:] == ["confirmed with all files imported", "watching, h for help"]
    shown = desk.edit({"test_b.py": "def test_b(): assert True\n"})
    assert shown.splitlines()[-2:] == [
        "still failing: test_a_file_with_a_name.py::test_a",
        "watching, h for help",
    ]
    shown = desk.press("h", "quit")
    assert "\n".join(line.rstrip() for line in shown.splitlines()).endswith(HELP)
    assert max(map(len, HELP.split("\n"))) <= 40


def test_eighty_columns(desk):
    desk.write(TWO)
    desk.watch(rows=30, columns=80)
    shown = desk.press("h", "quit")
    assert "\n".join(line.rstrip() for line in shown.splitlines()).endswith(WIDE)
