"""``pytest-hotreload explain``: why a test file would run now, its dependencies, and what is warm for it.

pytest collects the file in this process like a run, so that its record is judged in the same epoch.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload.commands import messages as commands_messages
from pytest_hotreload.commands.ask_pytest import ask
from pytest_hotreload.commands.graph import short
from pytest_hotreload.imports.analysis import open_project, scan, third_party
from pytest_hotreload.process.installed import site_folders
from pytest_hotreload.records import affected, affected_messages, epoch, messages, reuse, totals
from pytest_hotreload.records.distributions import Distributions
from pytest_hotreload.records.records import RunRecords
from pytest_hotreload.records.verdicts import Verdict

#: ``src/shop/pricing.py:gross``: a function, by its file and its qualified name.
_FUNCTION = re.compile(r"(?P<file>[^:]+\.py):(?P<name>[^\W\d][\w.<>]*)")


def explain(arguments: Sequence[str]) -> int:
    """Print the explanations of test files, of a test, or of a function.

    Returns 0 whether or not a file would run, or else shows and returns pytest's error.
    """
    asked = _FUNCTION.fullmatch(arguments[0]) if arguments else None
    if asked is not None:
        explainer = _Explainer(str(Path(asked["file"]).absolute()), asked["name"])
        arguments = arguments[1:]
    else:
        explainer = _Explainer()
    heard = ask(explainer, ["--collect-only", "-q", "--hotreload-on", *arguments])
    if heard.status != 0 or not explainer.lines:
        return heard.show()
    print(*explainer.lines, sep="\n")
    if explainer.notes:
        print(commands_messages.store_notes(explainer.notes), file=sys.stderr)
    return 0


class _Explainer:
    """A plugin of the controller that explains the collected test files, or a function of a first-party file."""

    def __init__(self, function_file: str = "", function: str = "") -> None:
        self._function_file, self._function = function_file, function
        self.lines: list[str] = []
        self.notes: list[str] = []
        self._files: list[str] = []
        self._items: list[pytest.Item] = []
        self._loaded: frozenset[str] = frozenset()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self) -> Generator[None, object, object]:
        """Note the modules that are loaded now, and therefore in every template."""
        self._loaded = frozenset(sys.modules)
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note the items before any are deselected, because unaffected files are explained, too."""
        self._items = list(items)
        self._files = list(dict.fromkeys(str(item.path) for item in items))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.testsfailed or not self._files:
            return
        records = self._judged(session.config)
        if self._function:
            self.lines += self._runners(records)
            return
        survey = _Survey(session.config, self._files, records, self._loaded)
        doubts = self._doubts(session, records)
        folder = session.config.invocation_params.dir
        asked = [argument.partition("::")[0] for argument in session.config.args if "::" in argument]
        single = {str(Path(folder, path)) for path in asked}
        for file in self._files:
            explanation = _Explanation(survey, records, file, doubts.get(file))
            self.lines += explanation.lines()
            if file in single:
                for item in self._items:
                    if str(item.path) == file:
                        self.lines += explanation.of_test(item.nodeid)

    def _runners(self, records: RunRecords | None) -> list[str]:
        """The tests that ran the function, most direct first."""
        store = records.store if records is not None else None
        found = store.runners(self._function_file, self._function) if store is not None else []
        tests = sorted((count, nodeid) for _, ran in found for nodeid, count in ran or ())
        whole = [file for file, ran in found if ran is None]
        return commands_messages.runners(self._function, [nodeid for _, nodeid in tests], whole)

    def _doubts(self, session: pytest.Session, records: RunRecords | None) -> dict[str, str]:
        """File with a record that holds -> the reason against its reuse, or ""."""
        if records is None:
            return {}
        bookkeeper: Any = session.config.pluginmanager.get_plugin("hotreload-bookkeeper")
        there = {item.path for item in session.items}
        items = [*session.items, *(item for item in self._items if item.path not in there)]
        judged = reuse.judge(session.config, records, bookkeeper.declarations, items)
        fresh = (verdict for verdict in judged.others if records.verdicts[verdict.file].fresh)
        return {**dict.fromkeys(judged.held, ""), **{verdict.file: verdict.detail for verdict in fresh}}

    def _judged(self, config: pytest.Config) -> RunRecords | None:
        """The records of this run after the verdicts, or None if this run keeps none."""
        bookkeeper: Any = config.pluginmanager.get_plugin("hotreload-bookkeeper")
        if bookkeeper is None:
            return None
        records: RunRecords = bookkeeper.records
        records.stop_collecting()
        records.judge(self._files)
        self.notes = records.store.notes() if records.store is not None else []
        return records


class _Survey:
    """The current imports of all test files that have records or are explained.

    ``loaded``: modules that pytest and its plugins loaded.
    """

    def __init__(
        self, config: pytest.Config, asked: Iterable[str], records: RunRecords | None, loaded: Collection[str]
    ) -> None:
        self.config, self.root, self._loaded = config, str(config.rootpath), loaded
        self.store = records.store if records is not None else None
        recorded = (str(Path(self.root, file)) for file in (self.store.files() if self.store else ()))
        self.files = sorted({f for f in (*asked, *recorded) if f.endswith(".py") and Path(f).is_file()})
        self.verbose = config.get_verbosity() + 1 > 0  # the -q is our own
        self.project = open_project(config)
        scan(self.project, self.files)
        self._reached = Counter(name for file in self.files for name in self.project.third_party(file)[0])
        self._quarantine = self.project.quarantine(self.files)
        known = totals.Totals()
        totals.load(config, known)
        self._learned = known.learned

    def closure(self, file: str) -> list[str]:
        """The first-party files that a test file imports, named as in records."""
        found = self.project.closure(file) if file in self.files else [file]
        return sorted(short(self.root, each) for each in found)

    def chain(self, file: str, imported: str) -> list[str]:
        """The chain of imports from the imported file to the test file."""
        found = self.project.chain(file, imported) if file in self.files else [file] * (file == imported)
        return [short(self.root, each) for each in reversed(found)]

    def distributions(self, file: str) -> tuple[dict[str, str], dict[str, str]]:
        """The versions of the distributions that a test file imports, and module -> distribution, as in records."""
        known = Distributions(epoch.distributions(sys.path), site_folders())
        modules = known.of(itertools.chain(*self._third_party(file)))
        return known.versions(modules.values()), modules

    def template(self, file: str) -> Iterator[str]:
        """The third-party modules of a test file, each with its state in a template."""
        at_import, later = self._third_party(file)
        for name in third_party([*at_import, *(name for name in later if name in self._quarantine)]):
            yield commands_messages.template_module(
                name,
                self._reached[name],
                loaded=name in self._loaded,
                quarantine=self._quarantine.get(name),
                learned=name in self._learned,
            )

    def _third_party(self, file: str) -> tuple[list[str], list[str]]:
        return self.project.third_party(file) if file in self.files else ([], [])


class _Explanation:
    """The explanation of one test file."""

    def __init__(self, survey: _Survey, records: RunRecords | None, file: str, doubt: str | None) -> None:
        self.survey, self.records, self.file, self.doubt = survey, records, file, doubt
        text = survey.store.get(file) if survey.store is not None else None
        self.record: dict[str, Any] | None = json.loads(text) if text else None

    def lines(self) -> Iterator[str]:
        yield short(self.survey.root, self.file)
        why = (self._why(), *self._reuse())
        for line in (*why, *self._first_party(), *self._functions(), *self._others(), *self._third_party()):
            yield "  " + line

    def _reuse(self) -> Iterator[str]:
        """The line about reuse.

        An affected file has no such line: the reason why it would run also prevents its reuse.
        """
        if self.doubt is not None:
            yield (messages.would_not_be_reused(self.doubt) if self.doubt else messages.would_be_reused())

    def _why(self) -> str:
        if self.records is None or self.survey.store is None:
            return commands_messages.would_run(affected_messages.NO_RECORDS)
        verdict = self._verdict(self.records)
        if verdict.fresh and self.record is not None:
            return commands_messages.would_not_run(Counter(outcome for _, outcome, _ in self.record["tests"]))
        if verdict.kind == "epoch" and self.records.changes:
            return commands_messages.would_run(affected_messages.new_epoch(self.records.changes))
        reason = affected.explain(self.survey.config, [verdict], self.records)[0]
        return commands_messages.would_run(
            reason.removeprefix(os.path.relpath(self.file, self.survey.root) + ": ")
        )

    def _verdict(self, records: RunRecords) -> Verdict:
        """The file's verdict. With ``--affected-since``, changes since that revision count, too."""
        chosen: Any = self.survey.config.pluginmanager.get_plugin("hotreload-selection")
        selected: list[Verdict] = getattr(chosen, "selected", [])
        return next((each for each in selected if each.file == self.file), records.verdicts[self.file])

    def _first_party(self) -> Iterator[str]:
        """The number of first-party files; with ``-v`` also each file, with the chain of imports to it."""
        recorded = self.record is not None
        closure = (
            [name for name, _ in self.record["closure"]] if self.record else self.survey.closure(self.file)
        )
        yield commands_messages.first_party(len(closure), recorded=recorded)
        if self.survey.verbose:
            for name in closure:
                chain = self.survey.chain(self.file, str(Path(self.survey.root, name)))
                yield "  " + commands_messages.imported(name, chain)

    def _functions(self) -> Iterator[str]:
        """With ``-v``: the functions that ran, or why that is not known."""
        store = self.survey.store if self.survey.verbose else None
        found = store.functions_of(self.file) if store is not None and self.record is not None else None
        if found is None or self.record is None:
            return
        divided = self.record["functions"]["divided"]
        total = sum(one["count"] for one in divided)
        reason = self.record["functions"]["undivided"]
        yield commands_messages.functions(sum(len(names) for _, names in found), total, len(divided), reason)
        yield from (f"  {file}: {', '.join(names)}" for file, names in found if names)

    def of_test(self, nodeid: str) -> Iterator[str]:
        """What one test ran by itself; with ``-v`` also that this is not known."""
        store = self.survey.store
        found = store.functions_of(self.file, nodeid) if store is not None else None
        if found is not None or self.survey.verbose:
            yield f"  {nodeid}"
        if found is None and self.survey.verbose:
            yield f"    {commands_messages.FUNCTIONS_UNKNOWN}"
        yield from (f"    {file}: {', '.join(names)}" for file, names in found or () if names)

    def _others(self) -> Iterator[str]:
        """The other dependencies, recorded or declared, and the resources that the file may not share."""
        record: Mapping[str, Any] = self.record or {}
        declared = self.records.declared[self.file] if self.records is not None else set()
        serial = self.records.serial[self.file] if self.records is not None else set()
        reads = record.get("reads", ())
        found = {
            "read": [name for name, fingerprint in reads if fingerprint is not None],
            "did not exist": [name for name, fingerprint in reads if fingerprint is None],
            "no such module": [name for name, path in record.get("dynamic", {}).items() if path is None],
            "folders": [name for name, _ in record.get("listings", ())],
            "environment": commands_messages.variables([name for name, _ in record.get("environment", ())]),
            "order-dependent on": list(record.get("coupled_with", ())),
            "declared": sorted(declared.union(name for name, _ in record.get("declared", ()))),
            "started a process": list(record.get("started", ())),
            **{label: list(record.get(label, ())) for label in ("flags", "ports", "writes")},
            "serial": sorted(serial.union(record.get("serial", ()))),
        }
        return (commands_messages.depends_on(label, names) for label, names in found.items() if names)

    def _third_party(self) -> Iterator[str]:
        record = self.record
        versions, modules = (
            (record["distributions"], record["modules"]) if record else self.survey.distributions(self.file)
        )
        parts = {name: [module for module in modules if modules[module] == name] for name in versions}
        if versions:
            shown = (commands_messages.distribution(name, versions[name], parts[name]) for name in versions)
            yield commands_messages.depends_on("third-party", shown)
        warm = list(self.survey.template(self.file))
        if warm:
            yield commands_messages.depends_on("template", warm)
