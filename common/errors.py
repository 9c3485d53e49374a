"""The one exception that is shown to the user as a single line."""


class UserError(Exception):
    """A mistake in the user's input: says what is wrong, where (file, key, line) and what would be right.

    Scripts print it as one line on stderr and exit with status 2; see ``common.cli.run``.
    """
