"""The command `bozzetto`, also as `python -m bozzetto`.

It imports next to nothing before it can answer to interruptions and knows that it can write to the terminal.
"""

import sys

from .terminal import Ended, answer_signals, open_streams, output_is_lost


def main() -> int:
    """Run the command line and return its exit code, see `bozzetto.cli.main`; 1 if output was lost."""
    open_streams()
    answer_signals()
    try:
        from .cli import main as command_line

        code = command_line()
    except SystemExit as leave:  # --help, and words that are not understood
        code = leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
    except Ended as signal:
        sys.stderr.write("bozzetto: interrupted\n")
        code = signal.exit_code
    if output_is_lost() and code == 0:
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
