"""Merges the records, durations and other stored data of several shards into one cache.

A record does not contain the time at which it was written, so the shard that ran a file decides. If a test
failed, that shard may have removed the file's record, while the cache that another shard was given still has
an older record. The older record must not come back.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from pytest_hotreload._native import RecordStore
from pytest_hotreload.ci import merge_cache_memory, rounds, timings
from pytest_hotreload.ci.merge_checks import Result
from pytest_hotreload.ci.merge_files import homes
from pytest_hotreload.records import couplings, plan_durations
from pytest_hotreload.records.file_outcome import CLEAN
from pytest_hotreload.records.totals import DURATIONS_KEY


def merge(results: Sequence[Result], stores: Sequence[Path], cache: Path) -> int:
    """Merge into pytest's cache folder ``cache``, and return the number of records there. Raises OSError."""
    folder = cache / "d" / "hotreload"
    folder.mkdir(parents=True, exist_ok=True)
    _take_over(results, stores, folder)
    for store in stores:
        known = couplings.load(store)
        if known:
            couplings.save(folder, (), known)
    _save_durations(results, stores, cache)
    whole = RecordStore(str(folder), str(Path.cwd()))
    _save_plan_durations(results, whole, stores, folder)
    rounds.forget(folder)
    merge_cache_memory.merge(results, [store.parent.parent for store in stores], cache, whole.files())
    return len(whole.files())


def _take_over(results: Sequence[Result], stores: Sequence[Path], folder: Path) -> None:
    root = str(Path.cwd())
    whole = RecordStore(str(folder), root)
    ran_in, doubtful = _who_ran(results)
    home_of = homes(stores, [result.path for result in results])
    kept: set[str] = set()
    for store in stores:
        # A file outside the root has another name in another checkout.
        files = [file for file in RecordStore(str(store), root).files() if not file.startswith("/")]
        mine = [file for file in files if file not in ran_in or ran_in[file] == home_of[store]]
        mine = [file for file in mine if file not in doubtful]
        whole.adopt(str(store), mine)
        kept.update(mine)
    # A file that a shard ran without keeping a record has no record in the merged cache either.
    whole.remove([file for file in whole.files() if file in ran_in and file not in kept])
    whole.save()


def _who_ran(results: Sequence[Result]) -> tuple[dict[str, Path], set[str]]:
    """File that ran -> folder of the results that contain it; and failed files of folders with several results.

    For the latter, the shard to which a record in that folder belongs is unknown.
    """
    folders = Counter(result.path.resolve().parent for result in results)
    ran_in: dict[str, Path] = {}
    doubtful: set[str] = set()
    for result in results:
        folder = result.path.resolve().parent
        for test in result.tests:
            if not test["reused"]:
                ran_in[test["file"]] = folder
                if test["outcome"] not in CLEAN and folders[folder] > 1:
                    doubtful.add(test["file"])
    return ran_in, doubtful


def _save_durations(results: Sequence[Result], stores: Sequence[Path], cache: Path) -> None:
    """Save the durations: the measurement of the shard that ran a file replaces older ones."""
    known: dict[str, float] = {}
    for store in [cache / "d" / "hotreload", *stores]:
        known.update(_durations(store.parent.parent))
    measured: defaultdict[str, float] = defaultdict(float)
    for result in results:
        for test in result.tests:
            if not test["reused"]:
                measured[test["file"]] += test["seconds"]
    known.update({file: round(seconds, 4) for file, seconds in measured.items()})
    merge_cache_memory.write(cache, DURATIONS_KEY, dict(sorted(known.items())))


def _save_plan_durations(
    results: Sequence[Result], whole: RecordStore, stores: Sequence[Path], folder: Path
) -> None:
    """Save what the next plans are made of: what each shard measured, and older measurements of other files."""
    known = {file: each for store in stores for file, each in plan_durations.load(store).items()}
    known.update(plan_durations.load(folder))
    for result in results:
        for name, row in timings.complete_files(result.said) if result.finished else ():
            spent = row["seconds"] + row.get("collection", 0.0)
            older = known[name].needs if name in known else ()
            record = json.loads(whole.get(name) or "{}")
            needs = tuple(sorted(record["distributions"])) if "distributions" in record else older
            known[name] = plan_durations.Measured(spent, row.get("imports", 0.0), needs)
    plan_durations.save(folder, known, keep=())


def _durations(cache: Path) -> dict[str, float]:
    """The durations that the plugin stored in pytest's cache. A missing or damaged entry counts as empty."""
    try:
        known = json.loads((cache / "v" / DURATIONS_KEY).read_text(encoding="utf-8"))
        return {str(file): float(seconds) for file, seconds in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
