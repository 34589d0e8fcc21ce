"""The command `bozzetto`, also as `python -m bozzetto`.

Signal handlers and streams are set up before anything heavy is imported.
"""

import sys

from .terminal import Terminated, install_signal_handlers, open_streams, output_is_lost


def main() -> int:
    """Run the command line and return its exit code, see `bozzetto.cli.main`; 1 if output was lost."""
    open_streams()
    install_signal_handlers()
    try:
        from .cli import main as command_line

        code = command_line()
    except SystemExit as leave:  # --help, and arguments that cannot be parsed
        code = leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
    except Terminated as signal:
        sys.stderr.write("bozzetto: interrupted\n")
        code = signal.exit_code
    if output_is_lost() and code == 0:
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
