"""`stream-al topics create`: what a deployment needs on Kafka."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_al.errors import ConfigurationError
from stream_al.service.commands.common import ConfigOption, JsonOption, out, print_json
from stream_al.service.settings import load_config

topics = typer.Typer(help="The topics of a deployment on Kafka.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    topics.command()(create)
    app.add_typer(topics, name="topics")


def create(
    *,
    alter: Annotated[
        bool, typer.Option("--alter", help="Also change settings of topics that are there.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make every topic with the right partitions and settings, or say what differs.

    Partitions are added where there are too few; nothing is ever deleted.

    Example: `stream-al topics create`
    """
    settings = load_config(config)
    if settings.log.connector != "kafka":
        raise ConfigurationError(
            f"log.connector is {settings.log.connector}: its topics are made on first use; this "
            "command is for kafka"
        )
    from stream_al_connectors.kafka.checking import create_topics  # noqa: PLC0415 - slow to import

    done, left = create_topics(settings, change=alter)
    if as_json:
        print_json({"done": done, "problems": left})
    else:
        for line in done or ["unchanged every topic is there"]:
            out.print(line, markup=False, soft_wrap=True)
    if left:
        raise ConfigurationError(*left)
