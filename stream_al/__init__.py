"""Streaming online active learning: predict every event, ask people about a few, learn at once."""
