"""Runs that a server has begun ahead: a project, and what its tests say about where they run."""

from __future__ import annotations

#: A line that says whether the module of the test was imported in the process that runs it.
SAYS = "import os\nHERE = os.getpid()\ndef said(): return 'here' if HERE == os.getpid() else 'ahead'\n"
FILES = {
    "conftest.py": "import helper\n",
    "helper.py": "import os\nos.environ.get('READ')\nVALUE = 1\n",
    "test_a.py": SAYS + "import helper, deep\n"
    "def test_a(): print(said(), helper.VALUE, deep.VALUE)\ndef test_b(): print(said())\n",
    "deep.py": "VALUE = 1\n",
    "test_other.py": SAYS + "def test_other(): print(said())\n",
}
WORDS = ("-q", "-s", "-p", "no:cacheprovider")


def prepare(place, file="test_a.py", **environ):
    place.prepare(*WORDS, f"{file}::test_a", file=file, **environ)


def said(place, *words, **environ):
    """What a test says in an attached run."""
    ran = place.say("run", *WORDS, *words, **environ)
    assert (ran.status, ran.err) == (0, ""), ran
    return ran.out.splitlines()[0].removesuffix(".")


def values(place, *words):
    """What a test says behind the first word: the server may have been fast enough to import an edited file."""
    return said(place, *words).partition(" ")[2]
