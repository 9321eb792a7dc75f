"""The independent checker: DESIGN's invariants, from the topics of a log alone.

It shares no code with the loops that it judges: messages are decoded here, chain, payload hashes,
query ids, settings in force and the gate's arithmetic are derived anew. It only reads.
"""

from stream_al.service.audit.checker import audit
from stream_al.service.audit.report import Report, Violation

__all__ = ["Report", "Violation", "audit"]
