"""The command line: one file per command, which imports what it needs when it is called."""

from __future__ import annotations

import gc
import sys

_YOUNG = 50_000
"""Objects between collections: registries and graphs are many objects that stay, in no circles."""


def main() -> None:
    """Run the command line: 0 when all is well, 2 with one clear line when it is not."""
    import typer

    gc.set_threshold(_YOUNG)
    from lydite.cli.app import app
    from lydite.errors import LyditeError

    try:
        code = app(prog_name="lydite", standalone_mode=False)
    except LyditeError as error:
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
    if code == 130:  # the option parser gives this back for a KeyboardInterrupt
        print("lydite: interrupted; what was measured so far is kept", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(message: str) -> int:
    print(f"lydite: {message}", file=sys.stderr)
    return 2


def _refuse_usage(error: Exception) -> int:
    """A usage error of the option parser; anything else is a fault of ours and is shown whole."""
    show = getattr(error, "format_message", None)
    if show is None:
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":
        print(show(), file=sys.stderr)
        return 2
    return _refuse(f"{show()}; type: lydite --help")
