"""The log on Kafka. `kafka` is imported in this package and nowhere else."""

from stream_al_connectors.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
