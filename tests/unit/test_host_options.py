"""Specifications of hosts: the accepted values of ``--tx``, and those that are refused in one line."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_hotreload import host_options, options
from pytest_hotreload.hosts.protocol import Greeting

HERE = Path("/here")


def read(*tx: str, **others: object) -> tuple[host_options.Spec, ...]:
    return host_options.read(SimpleNamespace(tx=list(tx), **others), HERE)


def test_names_and_folders():
    specs = read("2*popen", "popen//chdir=clone//python=python3", "ssh=me@far -p 2//chdir=work//env:A=b=c")
    assert [(spec.name, spec.folder, spec.xspec()) for spec in specs] == [
        ("popen #1", "/here", "popen"),
        ("popen #2", "/here", "popen"),
        ("popen//python=python3//chdir=clone", "/here/clone", "popen//python=python3"),
        ("ssh=me@far -p 2", "work", "ssh=me@far -p 2//env:A=b=c"),
    ]
    assert read("ssh=far")[0].folder == "/here"
    assert read() == ()


BAD = {
    "nonsense": "--tx nonsense: 'nonsense' is not a valid part of a host specification",
    "": "--tx : '' is not a valid part of a host specification",
    "python=python3": "--tx python=python3 is neither popen nor ssh=HOST",
    "ssh": "--tx ssh is neither popen nor ssh=HOST",
    "popen//ssh=far": "--tx popen//ssh=far is neither popen nor ssh=HOST",
    "popen//popen": "--tx popen//popen: popen is given twice",
    "socket=127.0.0.1:8888": "socket servers are not supported, because anyone who can reach one can use it",
    "9999*popen": "--tx names 9999 hosts, more than the limit of 512",
    "0*popen": "--tx names no host",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_specifications(text):
    with pytest.raises(pytest.UsageError) as raised:
        read(text)
    (line,) = str(raised.value).splitlines()
    assert line.startswith("hotreload: ")
    assert BAD[text] in line
    assert "; hint: for example --tx popen --tx ssh=" in line


REFUSED = {
    "usepdb": "--pdb",
    "trace": "--trace",
    "hotreload_watch": "--watch",
    "hotreload_report": "--hotreload-report",
    "hotreload_trace": "--hotreload-trace",
    "px": "--px",
    "rsyncdir": "--rsyncdir",
}


@pytest.mark.parametrize("attribute", REFUSED)
def test_what_can_not_be_had_with_hosts(attribute):
    with pytest.raises(
        pytest.UsageError, match=f"hotreload: {REFUSED[attribute]} can't be used with hosts .*; hint: "
    ):
        read("popen", **{attribute: True})


def test_each_and_worker_are_refused():
    with pytest.raises(pytest.UsageError, match=r"--dist=each .*; hint: "):
        read("popen", dist="each")
    with pytest.raises(pytest.UsageError, match=r"--hotreload-isolate=worker .*; hint: "):
        read("popen", hotreload_isolate="worker")


def test_slots_are_each_machines_own_unless_a_number_was_named():
    def slots(asked: object, workers: object) -> int | None:
        return options.slots_by_number(SimpleNamespace(hotreload_slots=asked, numprocesses=workers))

    assert [slots(None, None), slots("auto", 3), slots(None, "logical"), slots(None, "auto")] == [None] * 4
    assert [slots("3", None), slots("3", "auto"), slots(None, 2), slots(None, 0)] == [3, 3, 2, 1]


def test_coverage_counts_by_path():
    assert len(read("popen", "ssh=far", cov_source=["shop"])) == 2
    with pytest.raises(
        pytest.UsageError, match=r"the host popen//chdir=clone .*other folder \(/here/clone\); hint: "
    ):
        read("popen", "popen//chdir=clone", cov_source=["shop"])


def test_the_order_moves_paths_below_the_folder():
    (spec,) = read("popen//chdir=clone")
    arguments = [
        "/here/tests",
        "--rootdir=/here",
        "-c",
        "/here/x.ini",
        "/elsewhere",
        "-k",
        "/hereby",
        "tests/a",
    ]
    order = host_options.order(spec, HERE, arguments, [], {"CI": "1", "HOME": "/home/me"})
    moved = ["tests", "--rootdir=.", "-c", "x.ini", "/elsewhere", "-k", "/hereby", "tests/a"]
    assert repr(moved)[1:-1] in order["code"]
    assert order["folder"] == os.path.join(HERE, "clone")  # noqa: PTH118
    assert order["environment"] == {"CI": "1"}


def test_greetings():
    said = Greeting("1.0", 3, "9.0", "3.12.1", 8, "one")
    assert Greeting.read(said.line()) == said
    assert Greeting.read(b'{"version": "2.0", "protocol": "new", "later": 1}') == Greeting(
        "2.0", 0, "?", "?", 1, "?"
    )
    for bad in (b"", b"[]", b"Traceback (most recent call last):", b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011 - of JSON, of the encoding, of ours
            Greeting.read(bad)
