"""What a layout is: renamed beginnings of names, parts that are left out, and the keys that must be there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from common.errors import UserError
from common.keys import check_keys

Shapes = Mapping[str, tuple[int, ...]]
COUNTER = "num_batches_tracked"  # absent from files of torch before 0.4.1 and of MindSpore


@dataclass(frozen=True)
class Layout:
    """One family of official checkpoints.

    Attributes:
        name: What the user types.
        title: One line for ``--help``.
        framework: Whose names the official files have.
        prefixes: Beginnings that all names of a file may share; taken off, never put back.
        rules: (official beginning, our beginning); the longest that fits counts, names without a rule stay.
        foreign: Beginnings of official names that our networks do not have, with the reason; left out on import.
        unused: Names and shapes by our names -> those that our network does not have, with the reason; left out too.
        head: Beginnings of the classifier, left out only when asked.
        expected: Our names and shapes -> those that a whole network of this family has.
        restored: What the way back adds for official code that wants it: official name -> shape, filled with zeros.
        rename: For families that no table of beginnings describes: (our shapes, ``"import"`` or ``"export"``) -> names.
        sections: Where the official file holds several networks: section -> the beginning of its names.
        beside: Where the classifier lies in a second official file: what its names begin with here before the rules.
        others: Beginnings of our names of networks that one checkpoint of ours holds beside this one and that official
            files hold by themselves; left behind on export.
        completed: Numbers of our network that a file of another origin lacks, by our names: vectors of one value.
        form: Our names and shapes -> the section ``network`` with which our network computes what the official does.
    """

    name: str
    title: str
    framework: str
    expected: Callable[[Shapes], Shapes]
    prefixes: tuple[str, ...] = ("module.",)
    rules: tuple[tuple[str, str], ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()
    unused: Callable[[Shapes], Mapping[str, str]] = lambda shapes: {}
    head: tuple[str, ...] = ()
    restored: Callable[[Shapes], Shapes] = lambda shapes: {}
    rename: Callable[[Shapes, str], Mapping[str, str]] | None = None
    sections: Mapping[str, str] = field(default_factory=dict)
    beside: str = ""
    others: tuple[str, ...] = ()
    completed: Mapping[str, float] = field(default_factory=dict)
    form: Callable[[Shapes], Mapping[str, object]] | None = None

    def unwrap(self, names: list[str]) -> dict[str, str]:
        """Return name -> name without the prefixes that all names share."""
        result = {name: name for name in names}
        while names:
            shared = (p for p in self.prefixes if all(new.startswith(p) for new in result.values()))
            if (prefix := next(shared, None)) is None:
                break
            result = {name: new.removeprefix(prefix) for name, new in result.items()}
        return result

    def ours(self, shapes: Shapes) -> dict[str, str]:
        """Return official name -> our name, for names in PyTorch's spelling and without prefixes."""
        if self.rename:
            return dict(self.rename(shapes, "import"))
        return {name: _swap(name, self.rules) for name in shapes}

    def official(self, shapes: Shapes) -> dict[str, str]:
        """Return our name -> official name."""
        if self.rename:
            return dict(self.rename(shapes, "export"))
        return {name: _swap(name, tuple((new, old) for old, new in self.rules)) for name in shapes}

    def check(self, shapes: Shapes, place: str, without_head: bool = False) -> None:
        """Compare our names and shapes with those of a whole network.

        Raises:
            UserError: With the missing, the unexpected and the misshapen names.
        """
        want = {
            name: shape
            for name, shape in self.expected(shapes).items()
            if not (without_head and name.startswith(self.head)) and not name.endswith(COUNTER)
        }
        got = {name: shape for name, shape in shapes.items() if not name.endswith(COUNTER)}
        try:
            check_keys(want, got, place)
        except UserError as error:
            raise UserError(str(error).replace("does not fit the network", f"is no {self.name} checkpoint")) from error

    def fits(self, shapes: Shapes) -> bool:
        """Return whether official names in PyTorch's spelling make a whole network."""
        try:
            self.check({new: tuple(shapes[old]) for old, new in self.imported(shapes)[0].items()}, "")
        except UserError:
            return False
        return True

    def imported(self, shapes: Shapes) -> tuple[dict[str, str], dict[str, str]]:
        """Return (official name -> our name, official name left out -> reason); names in PyTorch's spelling."""
        left_out = {name: reason for name in shapes if (reason := self._foreign(name))}
        bare = self.unwrap([name for name in shapes if name not in left_out])
        left_out |= {name: reason for name, new in bare.items() if (reason := self._foreign(new))}
        inner = {new: shapes[name] for name, new in bare.items() if name not in left_out}
        ours = self.ours(inner)
        unused = self.unused({ours[name]: shape for name, shape in inner.items()})
        left_out |= {name: unused[ours[new]] for name, new in bare.items() if ours.get(new) in unused}
        if len(set(ours.values())) != len(ours):
            raise UserError(f"is no {self.name} checkpoint: two of its keys would get one name")
        return {name: ours[new] for name, new in bare.items() if name not in left_out}, left_out

    def _foreign(self, name: str) -> str | None:
        return next((reason for beginning, reason in self.foreign if name.startswith(beginning)), None)


def numbered(shapes: Shapes, beginning: str) -> int:
    """Return how many parts a list of layers has: the different words behind ``beginning``, such as ``"layer1."``."""
    return len({name[len(beginning) :].split(".")[0] for name in shapes if name.startswith(beginning)})


def _swap(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for old, new in sorted(rules, key=lambda rule: -len(rule[0])):
        if name.startswith(old):
            return new + name[len(old) :]
    return name
