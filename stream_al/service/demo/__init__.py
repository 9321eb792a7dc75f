"""The demo: real messages through the real worker, simulated people, and the arms in memory."""
