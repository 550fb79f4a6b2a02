"""Names what changed inside an input of the epoch: the option, the ini key, the flag, the plugin."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from pytest_hotreload.compat import pytest_config

#: (name, value then, value now); None if there was or is none.
Change = tuple[str, str | None, str | None]


def named(config: pytest.Config, changes: Sequence[Change]) -> list[Change]:
    """Return the changes, with one change for each option, ini key, flag and plugin that differs."""
    found: list[Change] = []
    for name, then, now in changes:
        if name == "arguments":
            found += _options(pytest_config.option_names(config), _object(then), _object(now))
        elif name == "ini":
            found += _differences("ini ", _object(then), _object(now))
        elif name == "interpreter flags" and _object(then) and _object(now):
            found += _differences("interpreter flag ", _object(then), _object(now))
        elif name == "plugins":
            before, after = (dict.fromkeys((text or "").split(), "") for text in (then, now))
            found += _differences("plugin ", before, after)
        else:
            found.append((name, then, now))
    return found or list(changes)


def _object(text: str | None) -> dict[str, str]:
    """Return the object that the epoch wrote as JSON; empty if it is of another version."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(name): str(each) for name, each in value.items()} if isinstance(value, dict) else {}


def _options(spelled: Mapping[str, str], then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    """Name options as they are typed, and only the words that differ of an option that may be repeated."""
    for name, before, after in _differences("", then, now):
        option = f"option {spelled.get(name, name)}"
        words = _words(before), _words(after)
        if words[0] is None or words[1] is None:
            yield option, before, after
            continue
        yield from ((f"{option} {each}", each, None) for each in words[0] if each not in words[1])
        yield from ((f"{option} {each}", None, each) for each in words[1] if each not in words[0])


def _words(text: str | None) -> list[str] | None:
    """Return the words of an option that may be repeated; None for another kind of value."""
    if text is None:
        return []
    try:
        value: Any = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return [str(each) for each in value] if isinstance(value, list | tuple) else None


def _differences(kind: str, then: Mapping[str, str], now: Mapping[str, str]) -> list[Change]:
    return [
        (kind + name, then.get(name), now.get(name))
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
