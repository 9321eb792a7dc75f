"""What can be asked of a recorded stream: fold it again, in another way."""

from stream_al.replay.refold import Refold

__all__ = ["Refold"]
