"""River at arm's length: build from configuration, guard, predict, learn, digest, dump and load.

The only package that imports River. The presets are in `presets` (ours), `baseline` and `adapters`
(River's); `build` turns a configuration into one of them and names what is wrong with it.
"""

from stream_al.model.build import check_model
from stream_al.model.collector import StatisticsCollector
from stream_al.model.model import Model

__all__ = ["Model", "StatisticsCollector", "check_model"]
