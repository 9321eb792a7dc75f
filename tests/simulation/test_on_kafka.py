"""The same scenario files on a real broker: every record, position and digest is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stream_al.config import Config
from tests.kafka_fixture import Broker
from tests.simulation.kafka_place import KafkaPlace, marked
from tests.simulation.places import Place, place_of
from tests.simulation.scenario import scenarios
from tests.simulation.slots import Result
from tests.simulation.world import World

BY_TRANSPORT = (("plain", "kafka-python"), ("votes", "kafka-python"), ("votes", "fast"))


def _marked(kind: str, config: Config, clock: Callable[[], int], folder: Path | None) -> Place:
    return marked(place_of(kind, config, clock, folder))


@pytest.mark.parametrize(("name", "transport"), BY_TRANSPORT)
def test_one_scenario_is_the_same_on_three_logs(
    name: str, transport: str, kafka: Broker, tmp_path: Path
) -> None:
    """One worker, fixed steps: memory, SQLite and Kafka hold the same, the journal to the byte.

    A broker's markers take offsets, so the other two are told to use up as many.
    """

    def on_kafka(_: str, config: Config, clock: Callable[[], int], __: Path | None) -> Place:
        return KafkaPlace(kafka, config, clock, transport=transport)

    scenario = scenarios()[name].model_copy(update={"workers": ("all",)})
    memory = _run(World(scenario, new_place=_marked))
    file = _run(World(scenario, kind="sqlite", folder=tmp_path, new_place=_marked))
    broker = _run(World(scenario, new_place=on_kafka))

    assert memory.outputs is not None
    assert memory.outputs.dump == file.outputs.dump  # type: ignore[union-attr]
    assert broker.outputs is not None
    assert broker.outputs.lessons == memory.outputs.lessons
    assert broker.outputs.answers == memory.outputs.answers
    assert broker.outputs.dump == memory.outputs.dump


def _run(world: World) -> Result:
    result = world.run()
    assert result.violation is None, "\n".join([*result.trace[-30:], result.violation])
    return result
