"""What one file reads, and others use: caches, settings, an installed package that remembers, and inputs that are asked
for in ways of their own. Written into each generated project."""

from __future__ import annotations

from random import Random

#: Reads, each with what it gives where nothing is to be read. Modules of the project call them through caches.
SETTINGS = '''"""The settings of the generated project: most of it is read once, by whoever comes first."""
import functools
import importlib.metadata
import importlib.util
import linecache
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import plainly
import remembers

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"


@functools.lru_cache
def cached(name):
    return plainly.number(DATA / name)


class Config:
    values = {}

    @classmethod
    def get(cls, name):
        if name not in cls.values:
            cls.values[name] = plainly.number(DATA / name)
        return cls.values[name]


class Lazy:
    @functools.cached_property
    def mode(self):
        return len(os.environ.get("APP_MODE", ""))

    @functools.cached_property
    def all(self):
        return len(dict(os.environ).get("APP_MODE", ""))

    @functools.cached_property
    def names(self):
        return len(os.listdir(DATA))


lazy = Lazy()


def line(name):
    return int(linecache.getline(str(DATA / name), 1) or 5)


def installed(name):
    return remembers.number(str(DATA / name))


@functools.lru_cache
def threaded(name):
    with ThreadPoolExecutor(1) as pool:
        return next(pool.map(plainly.number, [DATA / name]))


@functools.lru_cache
def backend(name):
    return importlib.import_module(name).value(2)


def spec():
    return int(importlib.util.find_spec("absent") is not None)


@functools.lru_cache
def spec_once():
    return int(importlib.util.find_spec("absent") is not None)


def version():
    return int(importlib.metadata.version("thing"))


def link():
    return int(os.readlink(DATA / "link")[1])


def forked(name):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:  # no number that an edit could change: then pytest itself would go on in both
        os.write(writer, str(plainly.number(DATA / name)).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    try:
        return int(os.read(reader, 100))
    finally:
        os.close(reader)
'''

PLAINLY = '''"""Reads for others."""


def number(path):
    try:
        with open(path) as file:
            return int(file.read())
    except OSError:
        return 3
'''

#: An installed package with a cache of its own.
REMEMBERS = '''"""Remembers what it read."""
KNOWN = {}


def number(path):
    if path not in KNOWN:
        try:
            with open(path) as file:
                KNOWN[path] = int(file.read())
        except OSError:
            KNOWN[path] = 4
    return KNOWN[path]
'''

#: The project's own plugin: pytest imports it before any hook of ours is there.
OWN = '''"""A plugin that the ini names."""
import pathlib

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"

try:
    AT_IMPORT = int(open(DATA / "{name}").read())
except OSError:
    AT_IMPORT = 6
'''

CALLS = (
    "cached({data})", "cached({data})", "Config.get({data})", "Config.get({data})", "lazy.mode", "lazy.all",
    "lazy.names", "line({data})", "installed({data})", "threaded({data})", "backend({module})", "spec()",
    "spec_once()", "version()", "link()", "forked({data})",
)  # fmt: skip


def call(random: Random, data: list[str], modules: list[str]) -> str:
    """An expression that asks the settings for something."""
    chosen = random.choice(CALLS)
    if not modules and "{module}" in chosen:
        chosen = CALLS[0]
    module = random.choice(modules) if modules else ""
    return "settings." + chosen.format(data=repr(random.choice(data)), module=repr(module))


def metadata(version: int) -> str:
    """Of a distribution that lies in the sources."""
    return f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n"
