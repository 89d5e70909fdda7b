"""Deterministic damage to events: fields that are missing, of another type, unknown, long or deep."""

import copy
import random

# The program needs them to accept an event at all.
REQUIRED = {("id",), ("recordedAt",), ("action",), ("action", "type")}
VALUES = [
    None,
    True,
    0,
    -1,
    3.5,
    2**63,
    "",
    " ",
    "x",
    "203.0.113.9",
    "not a date",
    "2026-11-30T10:00:00Z",
    "é\u2028\x7f|=\\\n",
    "z" * 40_000,
    [],
    {},
    ["a", {"b": 1}],
    {"id": {"id": []}},
    [[["deep"]]],
    [None, "x", 1],
]
NAMES = ["new", "new.dotted", "@timestamp", "", "id", "type", "name", "ä", "a b", "_id", "x" * 300]


def paths(value, at=()):
    """The paths of all fields and entries."""
    if isinstance(value, dict):
        items = value.items()
    else:
        items = enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*at, name)
        yield from paths(inner, (*at, name))


def parent(event, path):
    for name in path[:-1]:
        event = event[name]
    return event


def mutate(event, chance):
    event = copy.deepcopy(event)
    for _ in range(chance.choice([1, 1, 2, 4])):
        candidates = [path for path in paths(event) if path not in REQUIRED]
        if not candidates:
            break
        path = chance.choice(candidates)
        owner, what = parent(event, path), chance.randrange(3)
        if what == 0:
            del owner[path[-1]]
        elif what == 1:
            owner[path[-1]] = copy.deepcopy(chance.choice(VALUES))
        elif isinstance(owner, dict):
            owner.setdefault(chance.choice(NAMES), copy.deepcopy(chance.choice(VALUES)))
    return event


def mutants(events, rounds, seed=21):
    chance = random.Random(seed)
    return [mutate(event, chance) for event in events for _ in range(rounds)]
