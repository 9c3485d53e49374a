"""A pickle machine that can execute nothing.

Pickle is a program for a small stack machine; the standard one imports whatever the program names and
calls it. This one never imports: a global becomes an inert ``Name``, and "calling" a name looks it up in
a table of our own constructors (``pickle_objects.py``). A name that is not in the table ends the reading
before anything else happens.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass

MAX_OPERATIONS = 2_000_000  # a state dict of 50,000 tensors takes about 1.8 million; a file of nothing else, seconds
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg", "exceptions": "builtins"}
_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_MARK = object()
_BITS = 4096  # of a whole number


class PickleError(ValueError):
    """The stream is damaged or asks for something that is not allowed; the message is one clear line."""


@dataclass(frozen=True)
class Name:
    """A global that the stream names, such as ``torch.FloatStorage``; never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Rules:
    """What the machine may do with names and objects.

    ``known(name)`` says whether a global may appear; ``call(name, args)`` makes what calling it would;
    ``build(object, state)`` applies a saved state; ``persistent(id)`` resolves a reference out of the stream.
    """

    known: Callable[[Name], bool]
    call: Callable[[Name, tuple], object]
    build: Callable[[object, object], None]
    persistent: Callable[[object], object]


def load(stream: io.BufferedIOBase, rules: Rules):
    """Run one pickle and return what it builds; the stream is left just behind it.

    Returns:
        Plain Python values, ``Name`` objects and whatever ``rules`` make.
    Raises:
        PickleError: If the stream is damaged, too long, or names a global that ``rules`` does not know.
    """
    machine = _Machine(rules)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_OPERATIONS:
                raise PickleError(f"its pickle has more than {MAX_OPERATIONS} operations")
            machine.step(opcode.name, argument)
        return machine.result()
    except PickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise PickleError(f"its pickle is damaged ({type(error).__name__}: {str(error)[:120]})") from error


class _Machine:
    def __init__(self, rules: Rules):
        self.rules = rules
        self.stack: list = []
        self.memo: dict[int, object] = {}
        self.steps = {name[1:]: getattr(self, name) for name in dir(self) if name[1:2].isupper()}

    def step(self, opcode: str, argument) -> None:
        if opcode in _LITERALS:
            self.stack.append(argument)
        elif opcode in self.steps:
            self.steps[opcode](argument)
        else:
            raise PickleError(f"its pickle uses the operation {opcode}, which no checkpoint needs")

    def result(self):
        if len(self.stack) != 1:
            raise PickleError("its pickle is damaged (the stack does not end with one value)")
        return self.stack.pop()

    def pop(self):
        value = self.stack.pop()
        if value is _MARK:
            raise PickleError("its pickle is damaged (a mark where a value must be)")
        return value

    def pop_to_mark(self) -> list:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:  # IndexError when there is no mark: reported as damage
            place -= 1
            if place < 0:
                raise PickleError("its pickle is damaged (no mark)")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    # -- constants and containers
    def _PROTO(self, _):
        pass

    _FRAME = _STOP = _PROTO

    def _NONE(self, _):
        self.stack.append(None)

    def _NEWTRUE(self, _):
        self.stack.append(True)

    def _NEWFALSE(self, _):
        self.stack.append(False)

    def _MARK(self, _):
        self.stack.append(_MARK)

    def _LONG4(self, number):
        if number.bit_length() > _BITS:  # thousands of digits: slow to print, and Python refuses to
            raise PickleError(f"it holds a whole number of {number.bit_length()} bits")
        self.stack.append(number)

    def _EMPTY_LIST(self, _):
        self.stack.append([])

    def _EMPTY_TUPLE(self, _):
        self.stack.append(())

    def _EMPTY_DICT(self, _):
        self.stack.append({})

    def _EMPTY_SET(self, _):
        self.stack.append(set())

    def _LIST(self, _):
        self.stack.append(self.pop_to_mark())

    def _TUPLE(self, _):
        self.stack.append(tuple(self.pop_to_mark()))

    def _TUPLE1(self, _):
        self.stack.append((self.pop(),))

    def _TUPLE2(self, _):
        second, first = self.pop(), self.pop()
        self.stack.append((first, second))

    def _TUPLE3(self, _):
        third, second, first = self.pop(), self.pop(), self.pop()
        self.stack.append((first, second, third))

    def _DICT(self, _):
        items = self.pop_to_mark()
        self.stack.append({})
        set_items(self.stack[-1], items)

    def _FROZENSET(self, _):
        self.stack.append(frozenset(map(hashable, self.pop_to_mark())))

    def _APPEND(self, _):
        value = self.pop()
        _expect(self.stack[-1], list).append(value)

    def _APPENDS(self, _):
        items = self.pop_to_mark()
        _expect(self.stack[-1], list).extend(items)

    def _ADDITEMS(self, _):
        items = self.pop_to_mark()
        _expect(self.stack[-1], set).update(map(hashable, items))

    def _SETITEM(self, _):
        value, key = self.pop(), self.pop()
        set_items(self.stack[-1], [key, value])

    def _SETITEMS(self, _):
        items = self.pop_to_mark()
        set_items(self.stack[-1], items)

    # -- stack and memo
    def _POP(self, _):
        self.stack.pop()

    def _POP_MARK(self, _):
        self.pop_to_mark()

    def _DUP(self, _):
        self.stack.append(self.stack[-1])

    def _PUT(self, index):
        self.memo[index] = self.stack[-1]

    _BINPUT = _LONG_BINPUT = _PUT

    def _MEMOIZE(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def _GET(self, index):
        self.stack.append(self.memo[index])

    _BINGET = _LONG_BINGET = _GET

    # -- names and objects
    def _GLOBAL(self, argument):
        module, _, name = argument.partition(" ")
        self.stack.append(self.name(module, name))

    def _STACK_GLOBAL(self, _):
        name, module = self.pop(), self.pop()
        self.stack.append(self.name(_expect(module, str), _expect(name, str)))

    def name(self, module: str, name: str) -> Name:
        found = normal_name(module, name)
        if not self.rules.known(found):
            raise PickleError(f"its pickle asks for {printable(str(found))}, which is not among the harmless names")
        return found

    def _REDUCE(self, _):
        arguments, function = self.pop(), self.pop()
        self.stack.append(self.rules.call(_expect(function, Name), _expect(arguments, tuple)))

    _NEWOBJ = _REDUCE

    def _NEWOBJ_EX(self, _):
        if self.pop():
            raise PickleError("its pickle is damaged (an object with keyword arguments)")
        self._REDUCE(None)

    def _OBJ(self, _):
        function, *arguments = self.pop_to_mark()
        self.stack.append(self.rules.call(_expect(function, Name), tuple(arguments)))

    def _INST(self, argument):
        arguments = tuple(self.pop_to_mark())
        self.stack.append(self.rules.call(self.name(*argument.split(" ", 1)), arguments))

    def _BUILD(self, _):
        state = self.pop()
        self.rules.build(self.stack[-1], state)

    def _BINPERSID(self, _):
        self.stack.append(self.rules.persistent(self.pop()))

    def _PERSID(self, argument):
        self.stack.append(self.rules.persistent(argument))


def normal_name(module: str, name: str) -> Name:
    """Return the Python 3 and NumPy 1 spelling of a global."""
    module = _PYTHON_2.get(module, module)
    if module == "numpy._core" or module.startswith("numpy._core."):
        module = "numpy.core" + module.removeprefix("numpy._core")
    return Name(module, name)


def set_items(target, items: list) -> None:
    """Put alternating keys and values into a dict.

    Raises:
        PickleError: If the target is no dict, the count is odd, or a key is no plain value.
    """
    target = _expect(target, dict)
    if len(items) % 2:
        raise PickleError("its pickle is damaged (a key without a value)")
    for key, value in zip(items[::2], items[1::2]):
        target[hashable(key)] = value


def hashable(key):
    """Return a key that is cheap to hash: a plain value or a flat tuple of them (nested ones can take forever)."""
    for part in key if isinstance(key, tuple) else (key,):
        if not (part is None or isinstance(part, (str, bytes, int, float, complex, Name))):
            raise PickleError(f"its pickle uses a {type(part).__name__} as a key")
    return key


def printable(text: str, limit: int = 80) -> str:
    """Return text from a file so that it fits one line of a terminal: escaped, shortened."""
    text = text.encode("unicode_escape", "backslashreplace").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _expect(value, kind: type):
    if not isinstance(value, kind):
        raise PickleError(f"its pickle is damaged (a {type(value).__name__} where a {kind.__name__} must be)")
    return value
