"""A process that leaves its group while it is dealt out anew: broker's address, app, transport.

In a process of its own, since a client that waits for ever may hold Python's only lock.
"""

from __future__ import annotations

import sys
import time

from stream_al.config import Config
from stream_al_connectors.kafka import KafkaLog

HEARD_S = 2.0
"""By then the elder has heard from its coordinator that another one came."""


def main(address: str, app: str, transport: str) -> None:
    section = {"connector": "kafka", "bootstrap_servers": [address], "transport": transport}
    config = Config.model_validate({"app": app, "log": section})
    elder, younger = KafkaLog(config), KafkaLog(config)
    group, events = f"{app}.scorer", f"{app}.events"
    member = elder.join(group, events, name="0")
    while not member.owned:
        member.poll(limit=1, timeout_s=0.05)
    younger.join(group, events, name="1")
    time.sleep(HEARD_S)
    elder.close()
    younger.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
