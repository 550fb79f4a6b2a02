"""Everything that a process accesses is recorded exactly; each kind of access runs in a new interpreter."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path

import pytest

from .recording import execute, linux_only, recorded, settle, state, touched


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "root"
    folder.mkdir()
    return folder


#: A body, and the rows it makes, in a folder with the files "a" and "b" and the folder "d" with the file "c".
FILES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "open": ("open('a').close()", [("read", "a")]),
    "open twice": ("open('a').close(); open('./d/../a').close()", [("read", "a")]),
    "open, binary": ("open('a', 'rb').close()", [("read", "a")]),
    "io.open": ("import io; io.open('a').close()", [("read", "a")]),
    "io.open_code": ("import io; io.open_code(os.path.abspath('a')).close()", [("read", "a")]),
    "codecs.open": ("import codecs; codecs.open('a', encoding='utf-8').close()", [("read", "a")]),
    "FileIO": ("import io; io.FileIO('a').close()", [("read", "a")]),
    "FileIO of a Path": ("import io, pathlib; io.FileIO(pathlib.Path('a')).close()", [("read", "a")]),
    "an opener": ("open('a', opener=os.open).close()", [("read", "a")]),
    "bytes": ("open(b'a').close()", [("read", "a")]),
    "a descriptor": ("f = open('a'); open(f.fileno(), closefd=False).close()", [("read", "a")]),
    "Path.open": ("import pathlib; pathlib.Path('a').open().close()", [("read", "a")]),
    "Path.read_text": ("import pathlib; pathlib.Path('d/c').read_text()", [("read", "d/c")]),
    "Path.write_text": ("import pathlib; pathlib.Path('d/c').write_text('')", [("write", "d/c")]),
    "os.open": ("os.open('a', os.O_RDONLY)", [("read", "a")]),
    "os.open to read and write": ("os.open('a', os.O_RDWR)", [("update", "a")]),
    "os.open to write": ("os.open('a', os.O_WRONLY)", [("update", "a")]),
    "os.open to truncate": ("os.open('a', os.O_WRONLY | os.O_TRUNC)", [("write", "a")]),
    "os.open to create": ("os.open('new', os.O_WRONLY | os.O_CREAT)", [("update", "new")]),
    "os.open to read or create": ("os.open('new', os.O_RDONLY | os.O_CREAT)", [("update", "new")]),
    "write": ("open('a', 'w').close()", [("write", "a")]),
    "write and read": ("open('a', 'w+').close()", [("write", "a")]),
    "append": ("open('a', 'a').close()", [("update", "a")]),
    "update": ("open('a', 'r+').close()", [("update", "a")]),
    "exclusive": ("open('new', 'x').close()", [("update", "new")]),
    "missing": ("try: open('no')\nexcept FileNotFoundError: pass", [("read", "no")]),
    "a folder missing": ("try: open('no/a')\nexcept FileNotFoundError: pass", [("read", "no/a")]),
    "a folder that is a file": ("try: open('a/b')\nexcept NotADirectoryError: pass", [("read", "a/b")]),
    "read, then written": ("open('a').close(); open('a', 'w').close()", [("read", "a"), ("write", "a")]),
    "written, then read": ("open('a', 'w').close(); open('a').close()", [("write", "a")]),
    "written, then appended": ("open('a', 'w').close(); open('a', 'a').close()", [("write", "a")]),
    "updated, then read": ("open('a', 'a').close(); open('a').close()", [("update", "a")]),
    "read, then updated": ("open('a').close(); open('a', 'a').close()", [("read", "a"), ("update", "a")]),
    "changed, then read": ("os.chmod('a', 0o600); open('a').close()", [("write", "a"), ("read", "a")]),
    "writing fails, then read": (
        "try: os.rmdir('a')\nexcept OSError: pass\nopen('a').close()",
        [("write", "a"), ("read", "a")],
    ),
    "rename": ("os.rename('a', 'new')", [("read", "a"), ("write", "a"), ("write", "new")]),
    "replace": ("os.replace('a', 'b'); open('b').close()", [("read", "a"), ("write", "a"), ("write", "b")]),
    "rename what was written": (
        "open('new', 'w').close(); os.rename('new', 'b')",
        [("write", "new"), ("write", "b")],
    ),
    "remove": ("os.remove('a')", [("write", "a")]),
    "unlink in a folder": (
        "d = os.open('d', 0); os.unlink('c', dir_fd=d)",
        [("read", "d"), ("write", "d/c")],
    ),
    "mkdir and rmdir": ("os.mkdir('new'); os.rmdir('new')", [("write", "new")]),
    "link": ("os.link('a', 'new')", [("read", "a"), ("write", "new")]),
    "symlink": ("os.symlink('../a', 'd/new'); open('d/new').close()", [("read", "a"), ("write", "d/new")]),
    "truncate": ("os.truncate('a', 0)", [("write", "a")]),
    "utime": ("os.utime('a')", [("write", "a")]),
    "chmod": ("os.chmod('a', 0o600)", [("write", "a")]),
    "chown": ("os.chown('a', -1, -1)", [("write", "a")]),
    "listdir": ("os.listdir('d')", [("list", "d")]),
    "listdir here": ("os.listdir()", [("list", ".")]),
    "listdir of a descriptor": ("os.listdir(os.open('d', os.O_RDONLY))", [("read", "d"), ("list", "d")]),
    "listdir, missing": ("try: os.listdir('no')\nexcept FileNotFoundError: pass", [("list", "no")]),
    "scandir": ("list(os.scandir(b'd'))", [("list", "d")]),
    "glob": ("import glob; glob.glob('d/*')", [("list", "d")]),
    "Path.glob": ("import pathlib; list(pathlib.Path('d').glob('*'))", [("list", "d")]),
    "Path.rglob": ("import pathlib; list(pathlib.Path('.').rglob('*'))", [("list", "."), ("list", "d")]),
    "Path.iterdir": ("import pathlib; list(pathlib.Path('d').iterdir())", [("list", "d")]),
    "walk": ("list(os.walk('.'))", [("list", "."), ("list", "d")]),
    "copy": ("import shutil; shutil.copyfile('a', 'new')", [("read", "a"), ("write", "new")]),
    "sqlite": ("import sqlite3; sqlite3.connect('new').close()", [("update", "new-wal"), ("update", "new")]),
    "sqlite in memory": ("import sqlite3; sqlite3.connect(':memory:').close()", []),
    "sqlite by URI": (
        "import sqlite3; sqlite3.connect('file:d/x%79?mode=rwc', uri=True).close()",
        [
            ("update", "d/xy-wal"),
            ("update", "d/xy"),
            ("update", "file:d/x%79?mode=rwc-wal"),
            ("update", "file:d/x%79?mode=rwc"),
        ],
    ),
    "sqlite by URI in memory": (
        "import sqlite3; sqlite3.connect('file:x?mode=memory&cache=shared', uri=True).close()",
        [],
    ),
    "a library": (
        "import ctypes\ntry: ctypes.CDLL('d/no.so')\nexcept OSError: pass",
        [("read", "d/no.so")],
    ),
    "a library by name": ("import ctypes\ntry: ctypes.CDLL('libno.so')\nexcept OSError: pass", []),
    "chdir": ("os.chdir('d'); open('c').close(); os.listdir()", [("read", "d/c"), ("list", "d")]),
    "what the kernel makes up": (
        "open('/proc/self/stat').close(); open(os.devnull).close(); os.listdir('/dev')",
        [],
    ),
    "ignored": ("open(os.__file__).close(); os.listdir(os.path.dirname(os.__file__))", []),
    "a name with a null": ("try: open('a\\0b')\nexcept ValueError: pass", []),
    "no name": ("try: open('')\nexcept FileNotFoundError: pass", []),
}


@pytest.fixture
def files(root: Path) -> Path:
    (root / "d").mkdir()
    for name in ("a", "b", "d/c"):
        (root / name).write_text(name)
    settle(root)
    return root


@linux_only
@pytest.mark.parametrize(("body", "rows"), FILES.values(), ids=FILES.keys())
@pytest.mark.slow
def test_files(body: str, rows: list[tuple[str, str]], files: Path) -> None:
    assert touched(files, body) == rows


PROCESSES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "Popen": ("import subprocess; subprocess.run(['true'])", [("subprocess", "true")]),
    "Popen with a shell": (
        "import subprocess; subprocess.run('true', shell=True)",
        [("subprocess", "/bin/sh"), ("start", "sh")],
    ),
    "system": ("os.system('true')", [("subprocess", "os.system"), ("start", "os.system")]),
    "fork": (
        "if os.fork() == 0: os._exit(0)\nos.wait()",
        [("subprocess", "os.fork")],
    ),
    "exec": (
        "if os.fork() == 0: os.execv('/bin/true', ['true'])\nos.wait()",
        [("subprocess", "os.fork"), ("subprocess", "/bin/true")],
    ),
    "spawn": ("os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", [("subprocess", "/bin/true")]),
}


@linux_only
@pytest.mark.parametrize(("body", "rows"), PROCESSES.values(), ids=PROCESSES.keys())
def test_processes(body: str, rows: list[tuple[str, str]], root: Path) -> None:
    assert touched(root, body) == rows


#: s: a socket, u: a Unix one, port: a free port.
SOCKETS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "bind to any port": ("s.bind(('127.0.0.1', 0))", []),
    "bind": ("s.bind(('127.0.0.1', port))", [("bind", "127.0.0.1:PORT")]),
    "bind to a path": ("u.bind('sock')", [("bind", "unix:sock")]),
    "connect": (
        "try: s.connect(('127.0.0.1', port))\nexcept OSError: pass",
        [("connect", "127.0.0.1:PORT")],
    ),
    "connect to a path": ("try: u.connect('no')\nexcept OSError: pass", [("connect", "unix:no")]),
    "sendto": ("d.sendto(b'', ('127.0.0.1', port))", [("connect", "127.0.0.1:PORT")]),
    "sendmsg": ("d.sendmsg([b''], [], 0, ('127.0.0.1', port))", [("connect", "127.0.0.1:PORT")]),
    "create_connection": (
        "try: socket.create_connection(('localhost', port))\nexcept OSError: pass",
        [("connect", "127.0.0.1:PORT")],
    ),
    "look up": (
        "try: socket.getaddrinfo('no.invalid', 80)\nexcept OSError: pass",
        [("connect", "name:no.invalid")],
    ),
    "gethostbyname": (
        "try: socket.gethostbyname('no.invalid')\nexcept OSError: pass",
        [("connect", "name:no.invalid")],
    ),
    "look up the loopback": (
        "for host in (None, '', 'localhost', '127.0.0.1', '127.1.2.3', '::1'): look_up(host)",
        [],
    ),
}


@linux_only
@pytest.mark.parametrize(("body", "rows"), SOCKETS.values(), ids=SOCKETS.keys())
def test_sockets(body: str, rows: list[tuple[str, str]], root: Path) -> None:
    prelude = """
        import socket
        socket.getaddrinfo("localhost", 80); "".encode("idna")
        s, u = socket.socket(), socket.socket(socket.AF_UNIX)
        d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        free = socket.socket(); free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]; free.close()
        def look_up(host):
            try: socket.getaddrinfo(host, 80)
            except OSError: pass
        begin()
    """
    body = f"{textwrap.dedent(prelude)}{body}\nprint()\nprint(port, end='')\nend()"
    output = execute(root, body).split("\n")
    port, found = output[-3], json.loads(output[-2])
    names = [(kind, subject.replace(port, "PORT")) for _, kind, subject, _ in found]
    if names and names[0] == ("connect", "::1:PORT"):
        names.pop(0)
    assert names == rows


@linux_only
def test_states_are_those_before_the_first_touch(files: Path) -> None:
    a, c = state(files / "a"), state(files / "d" / "c")
    body = """
        begin()
        open('a').read(); open('d/c', 'a').write('more'); open('no', 'a').close(); open('b', 'w').close()
        open('a', 'w').close(); open('a').close(); os.listdir()
        end()
    """
    assert recorded(files, body) == [
        ("", "read", str(files / "a"), a),
        ("", "update", str(files / "d" / "c"), c),
        ("", "update", str(files / "no"), None),
        ("", "write", str(files / "b"), None),
        ("", "write", str(files / "a"), None),
        ("", "list", str(files), None),
    ]


@linux_only
def test_a_directory_descriptor_is_not_told_so_every_open_folder_counts(files: Path) -> None:
    assert touched(files, "d = os.open('d', os.O_RDONLY); os.close(os.open('c', os.O_RDONLY, dir_fd=d))") == [
        ("read", "d"),
        ("read", "d/c"),
        ("read", "c"),
    ]


@linux_only
def test_odd_names(files: Path) -> None:
    odd = os.fsencode(files) + b"/\xff"
    Path(os.fsdecode(odd)).write_text("")
    Path(files, "ä").write_text("")
    body = "open(b'\\xff').close(); open('\\udcff').close(); os.listdir(os.fsencode(os.getcwd())); open('ä').close()"
    assert touched(files, body) == [("read", "\udcff"), ("list", "."), ("read", "ä")]


@linux_only
def test_links_are_kept(files: Path) -> None:
    (files / "link").symlink_to("d")
    assert touched(files, "open('link/c').close()") == [("read", "link/c")]
    (files / "d" / "inner").mkdir()
    (files / "deep").symlink_to("d/inner")
    # By name it is "c" of the root, in truth that of "d".
    assert touched(files, "open('deep/../c').close()") == [("read", "c"), ("read", "d/c")]
