"""A gate's state as text: short, checked, and followed by the very same future."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_al.errors import Gone
from stream_al.gate import PACKED_CHARACTERS_MAX, Allowance, Gate
from stream_al.messages import Settings

SECRET = b"of the tests"
ALLOWED = [
    Allowance.of(Settings().patched({"gate": gate}))
    for gate in (
        {"budget": {"share": 0.05}},
        {"budget": {"share": 0.4, "per_hour": 90}, "burst": 3, "random_share": 0.5},
        {"budget": {"share": 1.0}, "burst": 100, "random_share": 1.0},
        {"budget": {"share": 0.0}},
    )
]


def step(gate: Gate, place: int, plan: list[int], at_ms: int) -> tuple[bool, float, float, bool]:
    draw = Random(place)
    return gate.decide(draw.random(), at_ms + 900 * place, ALLOWED[plan[place % len(plan)]])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 250),
    st.lists(st.integers(0, 3), min_size=1, max_size=30),
    st.integers(-(2**62), 2**62),
)
def test_future_is_the_same_after_a_lost_commit(place: int, plan: list[int], at_ms: int) -> None:
    """I-h: packed and unpacked at any event, whatever the settings: the identical future."""
    gate = Gate(SECRET, 2)
    gate.model_version = 812
    for past in range(place):
        if step(gate, past, plan, at_ms)[0]:
            gate.note_sent()
    text = gate.pack()
    back = Gate.unpack(SECRET, 2, text)

    assert (back.sent, back.model_version, back.pack()) == (gate.sent, 812, text)
    ahead = range(place, place + 150)
    assert [step(back, n, plan, at_ms) for n in ahead] == [
        step(gate, n, plan, at_ms) for n in ahead
    ]


def test_state_is_short_and_printable_however_long_it_runs() -> None:
    """At most 1 KB, printable ASCII without blanks, with the largest numbers that can be."""
    gate = Gate(SECRET, 255)
    for place in range(400):
        gate.decide(Random(place).random(), 2**63 - 1 - place, ALLOWED[1])
    gate.sent = gate.model_version = 2**63 - 1
    gate.note_votes_raised(10**9)
    text = gate.pack()

    assert len(text) <= PACKED_CHARACTERS_MAX
    assert re.fullmatch(r"g1:[!-~]+\.", text)
    assert text.index(".") == len(text) - 1


def test_typical_state_has_a_few_hundred_characters() -> None:
    """Brokers allow 4,096 characters for all that a worker commits."""
    gate = Gate(SECRET, 0)
    for place in range(500):
        gate.decide(Random(place).random(), 0, ALLOWED[0])

    assert len(gate.pack()) < 250


WRITTEN = Gate(SECRET, 2).pack()


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN[:-1],
        WRITTEN[:-12] + WRITTEN[-11:],
        WRITTEN.replace(":", ":1", 1),
        WRITTEN.replace("g1", "g2"),
        WRITTEN + "x",
        "g1:",
        "g1",
        "",
        "{}",
        "g1:\ud800:x:y.",
    ],
    ids=range(10),
)
def test_wrong_text_is_refused_with_a_sentence(text: str) -> None:
    """A state that can't be trusted stops the worker: it never goes on with a guess."""
    with pytest.raises(Gone, match=r"^the gate state of partition 2 .+; "):
        Gate.unpack(SECRET, 2, text)


def test_state_of_another_partition_is_refused() -> None:
    """Two partitions mixed up would ask twice or never."""
    with pytest.raises(Gone, match="another partition's"):
        Gate.unpack(SECRET, 3, Gate(SECRET, 2).pack())
