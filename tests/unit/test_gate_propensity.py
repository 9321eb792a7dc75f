"""P(asked) is the recorded propensity: over many secrets, the claim every estimate rests on."""

from __future__ import annotations

import math
from random import Random

from stream_al.gate import Allowance, Gate
from stream_al.messages import Settings

SEEDS = 20_000
EVENTS = 400


def test_asked_as_often_as_the_propensity_says() -> None:
    """I-d: 20,000 secrets, 400 events; the z-scores of the counts have mean 0 and sd 1."""
    allowed = Allowance.of(Settings())
    draw = Random(3)
    us = [draw.random() ** 2 for _ in range(EVENTS)]
    counts = [0] * EVENTS
    for seed in range(SEEDS):
        decide = Gate(b"%d" % seed, 0).decide
        for place, u in enumerate(us):
            if decide(u, 0, allowed)[0]:
                counts[place] += 1

    gate = Gate(b"any", 0)
    ps = [gate.decide(u, 0, allowed).propensity for u in us]
    zs = [
        (count - SEEDS * p) / math.sqrt(SEEDS * p * (1 - p)) if p < 1 else float(count - SEEDS)
        for count, p in zip(counts, ps, strict=True)
    ]
    mean = sum(zs) / EVENTS
    sd = math.sqrt(sum((z - mean) ** 2 for z in zs) / (EVENTS - 1))
    print(f"z mean {mean:.4f}, sd {sd:.4f}, largest {max(map(abs, zs)):.2f}")
    # Over 400 numbers their mean errs by 0.05 and their sd by 0.035.
    assert abs(mean) < 0.15
    assert abs(sd - 1.0) < 0.07
    assert max(map(abs, zs)) < 4.5
    assert sum(counts) == SEEDS * EVENTS // 20


def test_propensity_stays_true_when_the_budget_changes_inside_blocks() -> None:
    """Hard changes of share, burst and random share: still asked as often as p says."""
    plans = [
        Allowance.of(
            Settings().patched(
                {"gate": {"budget": {"share": share}, "burst": burst, "random_share": eps}}
            )
        )
        for share, burst, eps in ((0.02, 3, 0.2), (0.6, 1, 0.5), (0.11, 2, 1.0), (0.9, 3, 0.05))
    ]
    events, seeds, draw = 120, 6_000, Random(5)
    us = [draw.random() for _ in range(events)]
    order = [plans[draw.randrange(4)] if n % 7 == 0 else plans[n // 30] for n in range(events)]
    counts = [0] * events
    for seed in range(seeds):
        decide = Gate(b"%d" % seed, 1).decide
        for place, u in enumerate(us):
            counts[place] += decide(u, 0, order[place]).asked

    gate = Gate(b"any", 1)
    for count, u, allowed in zip(counts, us, order, strict=True):
        p = gate.decide(u, 0, allowed).propensity
        assert abs(count - seeds * p) <= 4.5 * math.sqrt(seeds * p * (1 - p)) + 1e-3
