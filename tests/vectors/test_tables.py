"""Which runner a vector file belongs to."""

from tests.vectors.tables import SYSTEMS, runner_for


def test_stem_is_the_longest_known_one() -> None:
    """A variant of a component goes to the runner of the longest stem that begins its name."""
    table = SYSTEMS["ddm"]
    assert runner_for("ddm", "net_torch_forward_r50_13classes") is table["net_torch_forward"]
    assert runner_for("ddm", "unheard_of") is None
    assert runner_for(None, "metrics") is None
