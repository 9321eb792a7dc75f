"""The user's own strategies: modules that `plugins` names, imported by what decides or measures.

`pause`, `budget`, `label` and `status` import none: an emergency brake must not depend on a module.
"""

from __future__ import annotations

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.gate import known_uncertainties
from stream_al.importing import import_beside, looked_beside
from stream_al.problems import uncertainty_problem


def load_plugins(config: Config) -> None:
    """Import every module of `plugins`.

    Raises
    ------
    ConfigurationError
        Naming each that can't be imported, where it was looked for, and why.
    """
    problems = []
    for name in config.plugins:
        try:
            import_beside(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it runs code of anybody
            beside = looked_beside()
            places = "what is installed" + (f" and in {beside}" if beside else "")
            problems.append(
                f"plugins: {name!r} can't be imported ({type(error).__name__}: {error}); looked in "
                f"{places}; mend the module, or leave it out"
            )
    if problems:
        raise ConfigurationError(*problems)


def strategies(config: Config) -> frozenset[str]:
    """Return what `gate.uncertainty` may be with the configured model; builds it when it must."""
    from stream_al.model import Model  # noqa: PLC0415 - imports River

    members = config.model.factory is None and config.model.preset == "committee"
    if config.model.factory is not None:
        members = Model(config).has_members
    return known_uncertainties(members=members)


def gate_problems(config: Config) -> list[str]:
    """Return what is wrong with `gate.uncertainty`: nothing, or one sentence."""
    problem = uncertainty_problem(config.gate.uncertainty, strategies(config))
    return [] if problem is None else [f"gate.uncertainty is {problem}"]


def ready_to_decide(config: Config) -> None:
    """Load the plugins, and refuse a gate that can't decide with the configured model.

    Raises
    ------
    ConfigurationError
        See `load_plugins`; or what is wrong with `gate.uncertainty`.
    """
    load_plugins(config)
    problems = gate_problems(config)
    if problems:
        raise ConfigurationError(*problems)
