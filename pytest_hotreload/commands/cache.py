"""``pytest-hotreload cache``: shows, verifies or removes the content of the record store."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_hotreload._native import RecordStore
from pytest_hotreload.commands import messages as commands_messages
from pytest_hotreload.commands.ask_pytest import Heard, place


def run_cache_command(what: str, arguments: Sequence[str]) -> int:
    """Run the command ``what``: "info", "clean" or "verify".

    Returns 0 on success, 1 if something is wrong with the store, or else pytest's exit status.
    """
    found = place(arguments)
    if isinstance(found, Heard):
        return found.show()
    if found.folder is None or not found.folder.is_dir():
        print(commands_messages.no_store(found.folder))
        return 0
    commands: dict[str, Callable[[Path, RecordStore], int]] = {
        "info": _info,
        "clean": _clean,
        "verify": _verify,
    }
    try:
        return commands[what](found.folder, RecordStore(str(found.folder), str(found.root)))
    except OSError as error:
        print(commands_messages.store_refused(error), file=sys.stderr)
        return 1


def _info(folder: Path, store: RecordStore) -> int:
    files = store.load()
    known = [json.loads(store.get(file) or "{}") for file in store.files()]
    counts = store.statistics()
    print(
        *commands_messages.store_info(
            folder,
            {
                "records": files,
                "failed": sum(record.get("outcome") != "passed" for record in known),
                "unsettled": sum(not record.get("settled") for record in known),
                "paths": counts["paths"],
                "bytes": counts["bytes"],
            },
            store.notes(),
        ),
        sep="\n",
    )
    return 0


def _clean(folder: Path, store: RecordStore) -> int:
    records = store.load()
    before = sorted(folder.iterdir())
    store.clear()
    print(
        commands_messages.store_cleaned(
            folder, records, [each.name for each in before if not os.path.lexists(each)]
        )
    )
    store.load()
    print(*(note + "\n" for note in store.notes()), sep="", end="")  # about files that are there but not ours
    return 0


def _verify(folder: Path, store: RecordStore) -> int:
    bad = store.verify()
    for path, why in bad:
        print(f"{path}: {why}")
    if not bad:
        print(commands_messages.store_sound(folder, store.load()))
    return 1 if bad else 0
