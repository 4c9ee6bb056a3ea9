"""What all commands share: plain lines instead of log prefixes, errors as one clear message."""

import contextlib
import logging as python_logging
import sys
from collections.abc import Callable, Iterator

from absl import app, logging


def run(main: Callable) -> None:
    """Parses flags and runs a command's `main`, with log lines on standard output."""
    logging.use_absl_handler()
    handler = logging.get_absl_handler()
    handler.python_handler.stream = sys.stdout
    handler.setFormatter(python_logging.Formatter("%(message)s"))
    logging.set_verbosity(logging.INFO)
    app.run(main)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turns the errors that a user can mend into a message and exit code 2, without a traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
