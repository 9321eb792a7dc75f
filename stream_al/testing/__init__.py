"""The public test kit: seeded streams, simulated annotators and real data, for us and for users.

Everything here is a function of its seed: the same call gives the same examples and the same labels
in any process. Only `data` touches files and the network, and only when it is called.
"""

from stream_al.testing.annotators import Injected, SimulatedAnnotators
from stream_al.testing.data import fetch_sms, load_phishing, load_sms
from stream_al.testing.examples import Example
from stream_al.testing.numbers import number_stream, vector_stream
from stream_al.testing.texts import new_class_stream, obfuscated, spam_wave, text_stream

__all__ = [
    "Example",
    "Injected",
    "SimulatedAnnotators",
    "fetch_sms",
    "load_phishing",
    "load_sms",
    "new_class_stream",
    "number_stream",
    "obfuscated",
    "spam_wave",
    "text_stream",
    "vector_stream",
]
