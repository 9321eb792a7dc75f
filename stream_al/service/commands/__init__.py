"""The commands, a module for each kind of user task; each has `register(app)`."""
