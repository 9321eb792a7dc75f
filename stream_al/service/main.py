"""Entry of the command line: pins the hash seed, runs the command, turns errors into exit codes.

Exit codes: 0 done; 1 stopped in doubt, a restart may help; 2 wrong usage or configuration, or data
that is gone: a restart won't help; 3 a check found a violation.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import Any

from stream_al.errors import ConfigurationError, InDoubt, InvalidInput
from stream_al.escaping import is_text, visible, visible_lines
from stream_al.private_files import why_refused
from stream_al.service import streams

ENDED_BY_SIGTERM = 128 + signal.SIGTERM


def main() -> None:
    """Run `stream-al`; ends the process."""
    if os.getpid() == 1:
        # The kernel keeps from process 1 what it has no handler for, so a container that is stopped
        # while it starts would wait to be killed. `run` puts its own handler over this one.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(ENDED_BY_SIGTERM))
    streams.hold_closed()
    wanted = _environment(os.environ)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, [sys.executable, "-P", *sys.orig_argv[1:]])  # noqa: S606
    sys.excepthook = _show_bug
    streams.prepare()
    sys.exit(run(sys.argv[1:]))


def _environment(found: Mapping[str, str]) -> dict[str, str]:
    """Return what every process of ours needs of its environment, for Python itself.

    One hash seed, since River's trees iterate over sets of strings and replicas must agree. And the
    current folder is not on the path, not by an empty part of PYTHONPATH either.

    Examples
    --------
    >>> _environment({"PYTHONPATH": ":/opt/models"})["PYTHONPATH"]
    '/opt/models'
    """
    wanted = {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1"}
    if "PYTHONPATH" in found:
        parts = found["PYTHONPATH"].split(os.pathsep)
        kept = [part for part in parts if os.path.normpath(part) != os.curdir]
        wanted["PYTHONPATH"] = os.pathsep.join(kept)
    return wanted


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; every error is a line or more on stderr."""
    from stream_al.service import logs  # noqa: PLC0415 - after the re-exec: imports cost time
    from stream_al.service.cli import app  # noqa: PLC0415

    log_format: logs.LogFormat = "logfmt"
    try:
        log_format = logs.chosen_format(arguments)
        os.environ[logs.FORMAT_VARIABLE] = log_format  # for the processes that this one starts
        logs.start_exit_lines(log_format)
        _check_texts(arguments)
        result = app(arguments, standalone_mode=False, prog_name="stream-al")
        streams.flush_stdout()
    except BrokenPipeError:
        return 0  # as below, at the last lines
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            return 0  # the frame's answer to `read … | head`, which is no failure
        raise
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - raised again there, unless people can act on it
        if isinstance(error, OSError) and error.filename == "stdout":
            streams.leave_stdout()
        return _end(error, as_json=log_format == "json")
    return result if isinstance(result, int) else 0


def _check_texts(arguments: list[str]) -> None:
    """Refuse an argument that is neither text nor the name of a file."""
    for number, argument in enumerate(arguments, 1):
        if not is_text(argument) and not os.path.lexists(argument):
            raise ConfigurationError(
                f"argument {number} is {argument!r}: these bytes are no UTF-8; write it in UTF-8"
            )


def _end(error: Exception, *, as_json: bool) -> int:
    """Say why the command ends and return its exit code; an error that nobody foresaw is raised."""
    from stream_al.service import logs  # noqa: PLC0415

    usage: Any = error if hasattr(error, "exit_code") and hasattr(error, "show") else None
    if usage is not None and as_json:
        logs.log_exit("usage", usage.format_message(), code=usage.exit_code)
    elif usage is not None:
        message = getattr(usage, "message", None)
        if isinstance(message, str):  # it quotes what was typed
            usage.message = visible(message)
        usage.show()  # as the command line's frame draws it
    if usage is not None:
        return int(usage.exit_code)
    code, kind, messages = _ending(error)
    if code is None:
        if not as_json:
            raise error
        logs.log_crash(error)
        return 1
    for message in messages:
        logs.log_exit(kind, message, code=code)
    return code


def _show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write a traceback that a terminal does not obey: the error may quote what came."""
    sys.stderr.write(visible_lines("".join(format_exception(kind, error, trace))))


def _ending(error: Exception) -> tuple[int | None, str, tuple[str, ...]]:
    """Return exit code, class and lines of an error that people can act on; no code of a bug."""
    match error:
        case ConfigurationError():
            return 2, "config", error.problems
        case InDoubt():
            return error.exit_code, error.kind, (str(error),)
        case InvalidInput():
            return 2, "input", (str(error),)
        case PermissionError(filename=str(name)):
            return 2, "config", (f"the system refused {name!r}: {why_refused(Path(name), error)}",)
        case OSError():
            place = f" {error.filename!r}" if error.filename else ""
            said = f"the system refused{place}: {error.strerror or error}"
            return 1, "ambiguous", (said,)
    return None, "bug", ()
