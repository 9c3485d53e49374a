"""What several tests of the engine share."""

from pathlib import Path

import pytest

from tests.common.engine_runs import run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never cut."""
    out = tmp_path_factory.mktemp("whole")
    run(out)
    return out
