"""What is run: every budget, delay, strategy and seed, for this gate, random queries, all labels.

Pure: frozen options, cross-checked, to a list of cells and the configuration of each.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.gate import known_uncertainties
from stream_al.model import Model
from stream_al.problems import nearest
from stream_al.service.report import ArmName

BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2)
BUDGETS_MAX, DELAYS_MAX, SEEDS_MAX, RUNS_MAX = 12, 6, 50, 2_000
_FREE_OF_CHANCE = ("linear", "river")
"""Presets whose model is the same for every seed."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run; `strategy` is None where it does not matter: random queries, all labels."""

    arm: ArmName
    strategy: str | None
    share: float
    delay: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run.

    Attributes
    ----------
    base
        Its `model`, `gate.random_share`, `gate.burst` and guard are what is evaluated.
    types
        Kinds of the features, as in `events.types`.
    shuffled
        Whether each seed takes the events in an order of its own; else they come as in the file.
    """

    base: Config
    types: dict[str, str]
    budgets: tuple[float, ...]
    delays: tuple[int, ...]
    strategies: tuple[str, ...]
    seeds: int
    shuffled: bool

    def cells(self) -> list[Cell]:
        """Return all runs, the longest first, so that processes end at about the same time."""
        model = self.base.model
        same = not self.shuffled and model.factory is None and model.preset in _FREE_OF_CHANCE
        seeds = range(1, self.seeds + 1)
        cells = [
            Cell("all", None, 1.0, delay, seed)
            for delay in self.delays
            for seed in (seeds[:1] if same else seeds)
        ]
        arms: list[tuple[ArmName, str | None]] = [("gate", name) for name in self.strategies]
        cells += [
            Cell(arm, strategy, share, delay, seed)
            for share in sorted(self.budgets, reverse=True)
            for delay in self.delays
            for arm, strategy in [*arms, ("random", None)]
            for seed in seeds
        ]
        return cells

    def config(self, cell: Cell) -> Config:
        """Return the configuration of one run: the user's model, the budget a share alone."""
        gate = self.base.gate
        model = self.base.model.model_dump() | {"seed": cell.seed}
        return Config.model_validate(
            {
                "topics": {"partitions": 1},
                "events": {
                    "types": self.types,
                    "on_bad_number": self.base.events.on_bad_number,
                    "features_max": self.base.events.features_max,
                },
                "model": model,
                "gate": {
                    "budget": {"share": cell.share},
                    "burst": gate.burst,
                    "random_share": 1.0 if cell.arm == "random" else gate.random_share,
                    "uncertainty": cell.strategy or self.strategies[0],
                },
            }
        )


def checked(plan: Plan, event_count: int) -> Plan:
    """Return `plan` when it can be run on so many events.

    Raises
    ------
    ConfigurationError
        With every problem at once.
    """
    known = known_uncertainties()
    problems = [
        f"--strategies: {name!r} is none{nearest(name, sorted(known))}"
        for name in plan.strategies
        if name not in known
    ]
    if "disagreement" in plan.strategies and not Model(plan.base).has_members:
        problems.append(
            f"--strategies: 'disagreement' needs a committee, and `{_model_name(plan.base)}` has "
            "no members; take --preset committee, or another strategy"
        )
    problems += [
        f"--delays: {delay:,} is not below the {event_count:,} events, so nothing would be learnt"
        for delay in plan.delays
        if delay >= event_count
    ]
    problems += [
        f"--budgets: {share:.3%} of {event_count:,} events is less than one label; raise it"
        for share in plan.budgets
        if share * event_count < 1
    ]
    sizes = (
        ("--budgets", len(plan.budgets), BUDGETS_MAX),
        ("--delays", len(plan.delays), DELAYS_MAX),
        ("--seeds", plan.seeds, SEEDS_MAX),
        ("the plan", len(plan.cells()), RUNS_MAX),
    )
    problems += [
        f"{name}: {count:,} is over {most:,}; take fewer budgets, delays, strategies or seeds"
        for name, count, most in sizes
        if count > most
    ]
    if problems:
        raise ConfigurationError(*problems)
    return plan


def _model_name(config: Config) -> str:
    return config.model.factory or config.model.preset


def shares(text: str) -> tuple[float, ...]:
    """Return budgets as shares in (0, 1], rising, each once.

    Raises
    ------
    ConfigurationError
        When one is no number, or out of range.

    Examples
    --------
    >>> shares("5%,1%,0.1")
    (0.01, 0.05, 0.1)
    """
    return tuple(sorted({_share(part) for part in parts(text)}))


def delays(text: str) -> tuple[int, ...]:
    """Return delays in events, each once, in the order given: the first is the one told about.

    Raises
    ------
    ConfigurationError
        When one is no whole number ≥ 0.

    Examples
    --------
    >>> delays("0,1000")
    (0, 1000)
    """
    return tuple(dict.fromkeys(_delay(part) for part in parts(text)))


def parts(text: str) -> list[str]:
    """Return the parts of a list as people write it, each once.

    Examples
    --------
    >>> parts("margin, entropy,margin")
    ['margin', 'entropy']
    """
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _share(part: str) -> float:
    percent = part.endswith("%")
    try:
        share = float(part.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        hint = f"; did you mean {part}%?" if 1 < share <= 100 else ""
        raise ConfigurationError(
            f"--budgets: {part!r} is no share of the events; write 5% or 0.05, up to 100%{hint}"
        )
    return share


def _delay(part: str) -> int:
    if not part.isdecimal():
        raise ConfigurationError(f"--delays: {part!r} is no whole number of events; write 0,1000")
    return int(part)
