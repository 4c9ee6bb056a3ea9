"""The kind of error that a user can mend."""


class UserError(ValueError):
    """Something that the user can mend: a flag, a file, a place on disk.

    Its message names the flag or the file, the value seen and the remedy. Commands print it as one line
    and end with exit code 2; every other error is a fault of this project and keeps its traceback.
    """
