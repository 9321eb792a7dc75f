"""The service: command line, worker loops, metrics. May do I/O; loops touch logs by the port."""
