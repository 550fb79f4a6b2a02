"""Hosts with their own checkout, interpreter, home and environment, as on other machines, and through ssh."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from .compare import Project
from .hosting import FAILED, PASSED, SILENT, with_ssh

pytest.importorskip("xdist", reason="--tx is pytest-xdist's")


@pytest.fixture(autouse=True)
def _xdist(project):
    project.plugins = ["xdist"]


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory):
    """Another environment, which borrows the packages of this one."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    return folder / "bin" / "python"


#: A test says where it runs; none ends before all have begun.
WHERE = """
    import os, sys, tempfile, time
    from pathlib import Path
    import shop

    def test_where(request, tmp_path):
        told = Path(os.environ["TOLD"])
        config = request.config
        lines = [os.getcwd(), config.rootpath, sys.prefix, os.environ.get("FAR"), shop.__file__, tempfile.gettempdir()]
        (told / "{n}.part").write_text("\\n".join(map(str, lines)))
        (told / "{n}.part").rename(told / "{n}")
        while len(list(told.glob("?"))) < 2: time.sleep(0.01)

    def test_fails():
        here = {n}
        assert here == shop.PRICE
"""


def test_other_checkouts_and_interpreters(project, interpreter):
    """Each of the two hosts has one slot and gets one file."""
    project.write({
        "pytest.ini": "[pytest]\npythonpath = src\n",
        "src/shop.py": "PRICE = 1\n",
        "tests/test_0.py": WHERE.format(n=0),
        "tests/test_1.py": WHERE.format(n=1),
    })  # fmt: skip
    root, home, told = project.root("forks"), project.top / "home", project.top / "told"
    told.mkdir()
    with_ssh(project, home)
    for clone in (project.top / "clone", home / "work" / "clone"):
        shutil.copytree(root, clone)
    shared = f"python={interpreter}//env:TOLD={told}//{SILENT}"
    args = [
        f"--tx=popen//chdir={project.top / 'clone'}//env:TMPDIR={told}//{shared}",
        f"--tx=ssh=far//chdir=work/clone//{shared}",
    ]
    project.environ["TOLD"] = str(told)
    ours = project.run(*args, "-v", str(root / "tests"), slots=1)
    where = sorted((told / str(n)).read_text().splitlines() for n in range(2))
    prefix = str(interpreter.parents[1])
    expected = [
        [str(project.top / "clone")] * 2
        + [prefix, "None", str(project.top / "clone/src/shop.py"), str(told)],
        [str(home / "work/clone")] * 2 + [prefix, "far", str(home / "work/clone/src/shop.py"), "/tmp"],
    ]
    assert where == sorted(expected)
    plain = project.run("-v", str(project.root("plain") / "tests"), slots=None)
    assert ours.outcomes == plain.outcomes
    assert ours.outcomes["tests/test_0.py::test_fails"] == FAILED
    assert [line.rstrip() for line in ours.lines] == [line.rstrip() for line in plain.lines]
    assert ours.status == plain.status == 1
    assert (
        f"2 hosts: popen//python={interpreter}//chdir={project.top / 'clone'} (1 slot), ssh=far (1 slot)"
        in ours.raw
    )


def can_be_apart() -> bool:
    """Whether this user may have a network of his own."""
    try:
        return subprocess.run(["unshare", "-rnu", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_be_apart(), reason="this user can't have network namespaces")
def test_machines_with_networks_of_their_own(project):
    """Both hold one port at one time, and neither is thought to be in the other's way."""
    project.write({
        f"test_{n}.py": """
            import glob, os, platform, socket, time

            def test_binds():
                with socket.socket() as server:
                    server.bind(("", 21021))
                    server.listen()
                    open(f"bound-{platform.node()}", "w").close()
                    while len(glob.glob("bound-*")) < 2: time.sleep(0.01)
        """
        for n in range(2)
    })  # fmt: skip
    with_ssh(project, project.top / "home")
    ours = project.run(*[f"--tx=ssh=apart{n}//python={sys.executable}//{SILENT}" for n in range(2)], slots=1)
    assert ours.outcomes == {"test_0.py::test_binds": PASSED, "test_1.py::test_binds": PASSED}
    assert sorted(path.name for path in ours.root.glob("bound-*")) == ["bound-apart0", "bound-apart1"]
    assert not [line for line in ours.notices if "address already in use" in line]


def test_a_checkout_that_differs(project):
    """What a host does not find fails, with its reason; what it does not have in its own company is not lost."""
    project.write({
        "test_a.py": """
            import pytest

            def test_old(): pass
            @pytest.mark.parametrize("n", [1, 2])
            def test_new(n): pass
        """,
        "test_b.py": "def test_b(): pass\n",
        "test_c.py": "def test_c(): pass\n",
    })  # fmt: skip
    clone = project.top / "clone"
    shutil.copytree(project.root("forks"), clone)
    (clone / "test_a.py").write_text("def test_old(): pass\n")
    (clone / "test_b.py").write_text("import nowhere_to_be_found\n")
    ours = project.run(f"--tx=popen//chdir={clone}//{SILENT}", slots=2)
    missing = [("setup", "failed")]
    assert ours.outcomes == {
        "test_a.py::test_old": PASSED,
        "test_a.py::test_new[1]": missing,
        "test_a.py::test_new[2]": missing,
        "test_b.py::test_b": missing,
        "test_c.py::test_c": PASSED,
    }
    assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" in ours.output
    assert ours.status == 1


def refused(project: Project, *args: str) -> str:
    """The one line of a usage error, without its beginning."""
    ours = project.run(*args, slots=1)
    assert ours.status == 4
    assert ours.outcomes == {}
    (line,) = [each for each in [*ours.lines[1:], *ours.errors] if each]
    assert line.startswith("ERROR: hotreload: ")
    assert "; hint: " in line
    return line.removeprefix("ERROR: hotreload: ")


def test_what_can_not_be_had_is_one_line(project):
    """What is wrong with a specification is looked at in tests/unit/test_host_options.py."""
    project.write({"test_a.py": "def test_a(): pass\n"})
    with_ssh(project, project.top / "home")
    said = {
        "--tx=popen --pdb": "--pdb can't be used with hosts (--tx); hint: a host has no terminal",
        "--tx=popen//chdir=gone": "the host popen//chdir=gone can't be used: there is no folder ",
        "--tx=popen//python=/no/such": "the host popen//python=/no/such can't be used: [Errno 2] No such file",
    }
    for args, beginning in said.items():
        assert refused(project, *args.split()).startswith(beginning)
    # How execnet notices it depends on how fast ssh ends.
    assert re.match(
        r"the host ssh=nowhere can't be used: "
        r"(ssh can't connect to nowhere|its gateway closed while it was being opened) \(no route to host\); hint: ",
        refused(project, "--tx=ssh=nowhere"),
    )


def test_another_version_is_refused(project):
    project.write({"test_a.py": "def test_a(): pass\n"})
    other = project.top / "other"
    (other / "pytest_hotreload" / "hosts").mkdir(parents=True)
    (other / "pytest_hotreload" / "__init__.py").touch()
    (other / "pytest_hotreload" / "hosts" / "__init__.py").touch()
    (other / "pytest_hotreload" / "hosts" / "start.py").write_text(
        "import os, socket\n"
        "def main(arguments):\n"
        "    end = socket.socket(fileno=int(os.environ['PYTEST_HOTRELOAD_HOST'].split(',')[1]))\n"
        """    end.sendall(b'{"version": "0.0.7", "protocol": 0, "pytest": "9", "later": []}\\n')\n"""
        "    end.recv(1)\n"
    )
    said = refused(project, f"--tx=popen//chdir={other}")
    assert "has pytest-hotreload 0.0.7 (protocol 0), but this machine has " in said


def test_without_hosts_nothing_is_imported_for_them(project):
    project.plugins = []
    project.write({
        "test_a.py": """
            import sys

            def test_a():
                assert not {"execnet", "pytest_hotreload.hosts.hosts", "pytest_hotreload.hosts.host"} & set(sys.modules)
        """
    })  # fmt: skip
    ours = project.run(slots=1)
    assert ours.outcomes == {"test_a.py::test_a": PASSED}
