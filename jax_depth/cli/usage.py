"""Exit codes and the error behind one of them."""

INTERRUPTED = 130  # 128 + SIGINT, as shells count


class UsageError(Exception):
    """The command was called wrongly: one sentence for the user, exit code 2."""
