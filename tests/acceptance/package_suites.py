"""Suites with costly package fixtures."""

from __future__ import annotations

from .shared_suites import NOTE

#: A package's fixture, which notes when it is set up and torn down; ``{name}`` is its name, ``{uses}`` what it uses.
FIXTURE = """
@pytest.fixture(scope="{scope}")
def {name}({uses}):
    note("{name}")
    time.sleep(0.12)
    yield "{name}"
    close_{name}()

def close_{name}():
    note("{name}-down")
"""


def fixture(name, *, scope="package", uses=""):
    return FIXTURE.format(name=name, scope=scope, uses=uses)


def using(*names):
    """A file whose test uses these fixtures, and notes that it runs."""
    return f"""
import os

def test_it({", ".join(names)}):
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"test {{os.getpid()}}\\n")
"""


def package(folder, conftest, **files):
    """A package with a conftest and test files."""
    return {
        f"{folder}/__init__.py": "",
        f"{folder}/conftest.py": NOTE + conftest,
        **{f"{folder}/test_{name}.py": text for name, text in files.items()},
    }


SHOP = package("shop", fixture("index"), a=using("index"), b=using("index"), c=using("index"))
AFTER = {"test_z.py": using(), "zoo/test_z2.py": using()}


def words_of(made):
    return [word for word, _ in made.words()]
