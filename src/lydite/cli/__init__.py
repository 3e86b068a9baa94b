"""The command line: one file per command, which imports what it needs when called."""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys

_YOUNG = 250_000
"""Garbage is collected rarely: registries and graphs are long-lived objects without cycles."""
_BLAS_PATIENCE = "OPENBLAS_THREAD_TIMEOUT"
"""How long an idle thread of numpy's OpenBLAS spins before it sleeps, as a power of 2 in cycles."""
_ours: list[str] = []
"""Variables of the environment that `main` has set."""


def main() -> None:
    """Run the command line: exit code 0, or 2 with a one-line error."""
    if _BLAS_PATIENCE not in os.environ:
        # Its threads would spin for as long as Python imports: 0.16 s of processor time a command.
        os.environ[_BLAS_PATIENCE] = "4"
        _ours.append(_BLAS_PATIENCE)
    gc.set_threshold(_YOUNG, 20, 100)
    atexit.register(gc.freeze)  # the interpreter's end need not look for garbage
    import typer

    from lydite.cli.app import app
    from lydite.errors import LyditeError

    try:
        code = app(prog_name="lydite", standalone_mode=False)
    except LyditeError as error:
        if "--json" in sys.argv:
            print(json.dumps({"error": error.document()}))
        sys.exit(_refuse(str(error)))
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(_refuse(f"{where}{error.strerror or error}"))
    except MemoryError:
        sys.exit(_refuse("not enough memory for this; use a smaller batch or model"))
    except Exception as error:
        sys.exit(_refuse_usage(error))
    if code == 130:  # the option parser returns this after a KeyboardInterrupt
        print("lydite: interrupted; measurements so far are kept", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def restore_environment() -> None:
    """Remove what `main` has set, before a program of the user's is started."""
    while _ours:
        os.environ.pop(_ours.pop(), None)


def _refuse(message: str) -> int:
    from lydite.results import visible

    line = visible(message).replace("\n", "\\n")
    print(f"lydite: {line}", file=sys.stderr)
    return 2


def _refuse_usage(error: Exception) -> int:
    """Report a usage error of the option parser in one line; raise any other exception."""
    show = getattr(error, "format_message", None)
    if show is None:
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":
        print(show(), file=sys.stderr)
        return 2
    return _refuse(f"{show()}; type: lydite --help")
