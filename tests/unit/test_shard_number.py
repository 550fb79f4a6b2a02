"""The number of this shard, from the command line or from each CI service."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from pytest_hotreload import shard_options
from pytest_hotreload.shard_options import ShardNumber, parse_shard

#: Service -> (its variables, what they say).
SERVICES: dict[str, tuple[dict[str, str], tuple[int, int]]] = {
    "GitLab": ({"GITLAB_CI": "true", "CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "4"}, (2, 4)),
    "Knapsack": ({"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "4"}, (3, 4)),
    "CircleCI": ({"CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "3"}, (1, 3)),
    "Buildkite": ({"BUILDKITE_PARALLEL_JOB": "2", "BUILDKITE_PARALLEL_JOB_COUNT": "3"}, (3, 3)),
    "Semaphore": ({"SEMAPHORE_JOB_INDEX": "3", "SEMAPHORE_JOB_COUNT": "3"}, (3, 3)),
    "Bitbucket": ({"BITBUCKET_PARALLEL_STEP": "1", "BITBUCKET_PARALLEL_STEP_COUNT": "2"}, (2, 2)),
    "Azure": ({"SYSTEM_JOBPOSITIONINPHASE": "1", "SYSTEM_TOTALJOBSINPHASE": "5"}, (1, 5)),
    "Bazel": ({"TEST_SHARD_INDEX": "4", "TEST_TOTAL_SHARDS": "5"}, (5, 5)),
}


@pytest.mark.parametrize("service", SERVICES)
def test_auto_reads_each_service(service: str) -> None:
    variables, expected = SERVICES[service]
    found = parse_shard("auto", variables)
    assert found[:2] == expected
    read = [f"{name}={value}" for name, value in variables.items() if name != "GITLAB_CI"]
    assert found.source == f"{service}: {', '.join(read)}"


@pytest.mark.parametrize("service", SERVICES)
def test_without_auto_no_variable_matters(service: str) -> None:
    assert parse_shard("1/2", SERVICES[service][0]) == ShardNumber(1, 2)


def test_each_index_is_one_shard() -> None:
    """First and last of every service: none is left out, none is another's."""
    for variables, (m, n) in SERVICES.values():
        (index,) = [
            name
            for name in variables
            if "INDEX" in name or "POSITION" in name or name.endswith(("JOB", "STEP"))
        ]
        first = int(variables[index]) - m + 1
        found = [parse_shard("auto", {**variables, index: str(first + at)}).number for at in range(n)]
        assert found == list(range(1, n + 1))
        for beyond in (first - 1, first + n):
            refused(variables={**variables, index: str(beyond)})


def test_bazel_is_told_that_shards_are_understood() -> None:
    variables = {**SERVICES["Bazel"][0], "TEST_SHARD_STATUS_FILE": "/tmp/status"}
    assert parse_shard("auto", variables).touch == "/tmp/status"
    assert (
        parse_shard("auto", {**SERVICES["CircleCI"][0], "TEST_SHARD_STATUS_FILE": "/tmp/status"}).touch == ""
    )


def test_a_job_that_is_not_parallel_is_the_only_one() -> None:
    """GitLab then says how many there are, and not which."""
    found = parse_shard("auto", {"GITLAB_CI": "true", "CI_NODE_TOTAL": "1"})
    assert found == ShardNumber(1, 1, "GitLab: CI_NODE_TOTAL=1")


def test_what_is_not_parallel_does_not_contradict() -> None:
    variables = {"CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "1", **SERVICES["Bazel"][0]}
    assert parse_shard("auto", variables)[:2] == (5, 5)


def test_two_that_agree_are_one() -> None:
    variables = {**SERVICES["CircleCI"][0], "TEST_SHARD_INDEX": "0", "TEST_TOTAL_SHARDS": "3"}
    assert parse_shard("auto", variables)[:2] == (1, 3)


def refused(text: str = "auto", variables: Mapping[str, str] | None = None) -> str:
    with pytest.raises(pytest.UsageError) as caught:
        parse_shard(text, variables or {})
    message = str(caught.value)
    assert message.startswith("hotreload: --shard ")
    assert "; hint: " in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0/4", "there is no shard 0 of 4; hint: shards are numbered from 1/4 to 4/4"),
        ("5/4", "there is no shard 5 of 4"),
        ("1/0", "the number of shards is 0, not a number from 1 to 10000"),
        ("1/10001", "the number of shards is 10001, not a number from 1 to 10000"),
        ("2", "not m/n or auto"),
        ("", "not m/n or auto"),
        ("1/", "not m/n or auto"),
        ("/4", "not m/n or auto"),
        ("-1/4", "not m/n or auto"),
        ("1/2/3", "not m/n or auto"),
        ("1.0/4", "not m/n or auto"),
        ("\u0661/4", "not m/n or auto"),
        ("1" * 5000 + "/4", "not m/n or auto"),
        ("Auto", "not m/n or auto"),
    ],
)
def test_what_is_no_shard_is_refused(text: str, why: str) -> None:
    assert why in refused(text)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, "found no variables of GitLab, Knapsack, CircleCI"),
        (
            {"CIRCLE_NODE_INDEX": "0"},
            "CircleCI: CIRCLE_NODE_INDEX=0, CIRCLE_NODE_TOTAL= is not a valid shard (the first is 0)",
        ),
        ({"CIRCLE_NODE_TOTAL": "3"}, "found no variables"),
        ({"CIRCLE_NODE_INDEX": "one", "CIRCLE_NODE_TOTAL": "3"}, "CIRCLE_NODE_INDEX=one"),
        (
            {"GITLAB_CI": "true", "CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "4"},
            "is not a valid shard (the first is 1)",
        ),
        (
            {**SERVICES["CircleCI"][0], **SERVICES["Bazel"][0]},
            "CircleCI: CIRCLE_NODE_INDEX=0, CIRCLE_NODE_TOTAL=3 contradicts Bazel: TEST_SHARD_INDEX=4",
        ),
    ],
)
def test_auto_does_not_guess(variables: Mapping[str, str], why: str) -> None:
    assert why in refused("auto", variables)


#: What is given -> what it contradicts.
CONTRADICTIONS: dict[str, tuple[dict[str, object], str]] = {
    "shard_plan": (
        {"hotreload_shard": None, "hotreload_shard_plan": "a"},
        "--shard-plan requires --shard m/n",
    ),
    "shard_from": (
        {"hotreload_shard": None, "hotreload_shard_from": "a"},
        "--shard-from requires --shard m/n",
    ),
    "timings": ({"hotreload_shard": None, "hotreload_timings": ["a"]}, "--timings requires --shard m/n"),
    "both": (
        {"hotreload_shard_plan": "a", "hotreload_shard_from": "b"},
        "--shard-plan and --shard-from contradict each other",
    ),
    "watch": ({"hotreload_watch": True}, "--watch and --shard contradict each other"),
    "stepwise": ({"stepwise": True}, "--stepwise and --shard contradict each other"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_contradicts_is_refused(name: str) -> None:
    given, why = CONTRADICTIONS[name]
    none = dict.fromkeys(
        ("hotreload_shard_plan", "hotreload_shard_from", "hotreload_timings", "hotreload_watch")
    )
    assert shard_options.number(SimpleNamespace(**none, hotreload_shard="1/2")) == ShardNumber(1, 2)
    assert shard_options.number(SimpleNamespace(**none, hotreload_shard=None)) is None
    with pytest.raises(pytest.UsageError) as caught:
        shard_options.number(SimpleNamespace(**{**none, "hotreload_shard": "1/2", **given}))
    assert str(caught.value).startswith(f"hotreload: {why}")
    assert "; hint: " in str(caught.value)
