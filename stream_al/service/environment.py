"""What a model's numbers depend on beside the journal: one line that says where it was computed.

Two processes with the same line fold the same journal into the same bits. Where lines differ, a
snapshot is not taken over and a digest is reported, not enforced.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import version

import numpy as np

PACKAGES = ("stream_al", "river", "numpy")


@cache
def environment() -> str:
    """Return this process's environment in one line, for people to read and programs to compare."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    packages = " ".join(f"{name} {version(name)}" for name in PACKAGES)
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    machine = f"{platform.machine()} {' '.join(platform.libc_ver())} simd {'+'.join(found)}"
    seed = os.environ.get("PYTHONHASHSEED", "random")
    return f"{python} {packages} {machine} hashseed {seed}"
