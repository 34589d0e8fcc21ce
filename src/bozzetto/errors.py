"""The error that the command line turns into one sentence and exit code 2."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence for that user: what, what was found, what was expected, what to do.
    Raise it wherever data from outside enters (files, options, arrays handed to a public function);
    everything else is a bug and keeps its traceback.
    """
