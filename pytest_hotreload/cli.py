"""The command ``pytest-hotreload``: inspects a suite, serves templates and merges the output of shards."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_hotreload import __version__
from pytest_hotreload_client import own_server


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 success, 1 finding, 2 usage error, or pytest's own exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # a path may not be valid text
    parser = _parser()
    chosen, rest = parser.parse_known_args(arguments)
    try:
        status = int(chosen.run(chosen, rest))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pytest-hotreload", description=__doc__)
    parser.add_argument("--version", action="version", version=f"pytest-hotreload {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser(
        "doctor",
        help="list the tests that pass only together with other files (order-dependent tests)",
        description="Runs all selected files together, and then each file alone (strict). Lists the tests that pass "
        "only together with other files, each with the module that it needs. Arguments of pytest may follow: "
        "pytest-hotreload doctor tests/ -k x",
    )
    doctor.set_defaults(run=_doctor)
    _add_explain(commands)
    _add_graph(commands)
    _add_cache(commands)
    _add_merge(commands)
    _add_attaching(commands)
    return parser


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser(
        "explain",
        usage="%(prog)s PATH [arguments of pytest]",
        help="show why a test file would run now, and what it depends on",
        description="Shows why the test file PATH would run under --affected, or that its record is fresh; what the "
        "file depends on (-v: by which imports); and which third-party modules are warm for it. Use the same "
        "arguments as in your runs: another environment gives another answer.",
        allow_abbrev=False,
    )
    explain.set_defaults(run=_explain, parser=explain)


def _add_graph(commands: Any) -> None:
    graph = commands.add_parser(
        "graph",
        usage="%(prog)s PATH [--dot | --json] [arguments of pytest]",
        help="show which files of the project a test file imports",
        description="Shows the first-party files that the test file PATH imports, each below the file that imports "
        "it first. A file that was shown before is marked …",
        allow_abbrev=False,
    )
    form = graph.add_mutually_exclusive_group()
    form.add_argument(
        "--dot", action="store_const", dest="form", const="dot", help="write a graph for Graphviz"
    )
    form.add_argument(
        "--json", action="store_const", dest="form", const="json", help="write JSON for programs"
    )
    graph.set_defaults(run=_graph, parser=graph, form="tree")


def _add_cache(commands: Any) -> None:
    cache = commands.add_parser(
        "cache",
        help="show, check or remove the stored records",
        description="Shows (info), checks (verify) or removes (clean) the stored records of the project in the "
        "current folder.",
        allow_abbrev=False,
    )
    cache.add_argument("what", choices=("info", "clean", "verify"))
    cache.add_argument("--rootdir", metavar="DIR", help="same as for pytest")
    cache.add_argument("-c", "--config-file", metavar="FILE", help="same as for pytest")
    cache.add_argument(
        "-o", "--override-ini", metavar="NAME=VALUE", action="append", help="same as for pytest"
    )
    cache.set_defaults(run=_cache, parser=cache)


def _add_merge(commands: Any) -> None:
    merge = commands.add_parser(
        "merge",
        help="combine the output of all shards, or report why the set is incomplete",
        description="Finds the output of shards in the folders, by content: results files, and beside them JUnit "
        "files, report logs, coverage data and records. Checks that no test was lost or ran twice, and writes the "
        "merged files. Exit status: 2 if the output can't be merged, otherwise that of the merged run.",
        allow_abbrev=False,
    )
    merge.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="the folder of one shard, or a folder that contains several",
    )
    for option, metavar, text in (
        ("--junitxml", "FILE", "write one JUnit file"),
        ("--json", "FILE", "write one results file"),
        ("--report-log", "FILE", "write one report log"),
        ("--coverage", "FILE", "write one coverage data file, like coverage combine --keep"),
        ("--records", "DIR", "add the records and durations to this cache folder, .pytest_cache"),
    ):
        merge.add_argument(option, metavar=metavar, type=Path, help=text)
    merge.add_argument(
        "--fail-under",
        metavar="PERCENT",
        type=_percent,
        help="exit with status 1 if all shards together cover less; default: fail_under of coverage's configuration, "
        "with --coverage",
    )
    merge.set_defaults(run=_merge, parser=merge)


def _percent(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not a number of percent from 0 to 100")
    return number


def _add_attaching(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        usage="%(prog)s [--idle MINUTES] [arguments of pytest]",
        help="keep a template of this project ready for pytest-hotreload run",
        description="Imports pytest, its plugins and the third-party modules of the test files once, and waits for "
        "pytest-hotreload run in this project. Ends with Ctrl-C, pytest-hotreload stop, or after the idle time.",
        allow_abbrev=False,
    )
    serve.add_argument(
        "--idle",
        metavar="MINUTES",
        type=float,
        default=60,
        help="end after this many minutes without a run (default 60; 0: never)",
    )
    serve.add_argument(own_server.STARTED, action="store_true", dest="started", help=argparse.SUPPRESS)
    serve.set_defaults(run=_serve, parser=serve)
    for name, text in (
        (
            "run",
            "run pytest with these arguments, in a fork of a server's template; the first run starts the server",
        ),
        ("status", "show which process serves this project, and since when; exit status 1 if there is none"),
        ("stop", "end the serve of this project"),
    ):
        commands.add_parser(name, help=text, add_help=name != "run").set_defaults(run=_attach, name=name)


def _serve(chosen: argparse.Namespace, arguments: list[str]) -> int:
    from pytest_hotreload.commands.serve import serve

    if not chosen.idle >= 0:
        chosen.parser.error(f"--idle is {chosen.idle:g}, not a number of minutes from 0 (0: never)")
    return serve(arguments, None if chosen.started else chosen.idle)


def _attach(chosen: argparse.Namespace, arguments: list[str]) -> int:
    """Run the client. Rarely used, as the entry point pytest_hotreload_client handles these commands by itself."""
    from pytest_hotreload_client import main as client

    if arguments and chosen.name != "run":
        return _parser().parse_args([chosen.name, *arguments])  # type: ignore[return-value]  # reports the error
    return client([chosen.name, *arguments])


def _doctor(_: argparse.Namespace, arguments: list[str]) -> int:
    from pytest_hotreload.commands.doctor import examine

    return examine(arguments)


def _explain(chosen: argparse.Namespace, arguments: list[str]) -> int:
    from pytest_hotreload.commands.explain import explain

    _path(chosen, arguments)
    return explain(arguments)


def _graph(chosen: argparse.Namespace, arguments: list[str]) -> int:
    from pytest_hotreload.commands.graph import show_graph

    return show_graph(_path(chosen, arguments), chosen.form, arguments[1:])


def _cache(chosen: argparse.Namespace, arguments: list[str]) -> int:
    from pytest_hotreload.commands.cache import run_cache_command

    if arguments:
        chosen.parser.error(f"unrecognized arguments: {' '.join(arguments)}")
    passed = [f"--rootdir={chosen.rootdir}"] if chosen.rootdir is not None else []
    passed += ["-c", chosen.config_file] if chosen.config_file is not None else []
    passed += [word for given in chosen.override_ini or () for word in ("-o", given)]
    return run_cache_command(chosen.what, passed)


def _merge(chosen: argparse.Namespace, arguments: list[str]) -> int:
    from pytest_hotreload.ci.merge import MergeOptions, merge

    if arguments:
        chosen.parser.error(f"unrecognized arguments: {' '.join(arguments)}")
    files = (chosen.json, chosen.junitxml, chosen.report_log, chosen.coverage, chosen.records)
    wanted = MergeOptions(*files, fail_under=chosen.fail_under)
    return merge(chosen.folders, wanted)


def _path(chosen: argparse.Namespace, arguments: list[str]) -> str:
    if not arguments or arguments[0].startswith("-"):
        chosen.parser.error("PATH is missing; put it before the arguments of pytest")
    return arguments[0]


if __name__ == "__main__":
    sys.exit(main())
