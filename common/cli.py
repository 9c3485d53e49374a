"""How every script ends: results on stdout, one line on stderr when the user erred, a status that says which."""

import sys
from collections.abc import Callable

from common.errors import UserError


def run(main: Callable[[], int | None]) -> None:
    """Call ``main`` and exit: 0 or its status; 2 with one line for a mistake of the user; 130 when interrupted.

    A failing disk (full, read-only, no permission) is reported in one line too: the file and the reason.
    """
    try:
        sys.exit(main() or 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
