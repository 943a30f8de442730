"""The pickle inside a `pytorch_model.bin`, read and written without ever calling anything it names.

A pickle is a program that can call any function. This interpreter knows only what weights need: strings, numbers,
lists, tuples, dictionaries, and a closed list of names that stand for tensors. Everything else is refused by name.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from deberta_core.limits import check

# torch's storage classes -> the types of their numbers.
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_STORAGE_OF = {dtype: storage for storage, dtype in STORAGES.items()}
_ORDERED_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
# Of Lightning's hyperparameters: a dictionary of another class.
_DICTIONARIES = {
    f"{module} AttributeDict"
    for module in (
        "lightning.fabric.utilities.data",
        "lightning_fabric.utilities.data",
        "pytorch_lightning.utilities.parsing",
    )
}
_GLOBALS = {_ORDERED_DICT, _TENSOR, _PARAMETER, *_DICTIONARIES, *(f"torch {storage}" for storage in STORAGES)}
_SIZE_LIMIT = 1 << 63
_KEY_LIMIT = 1 << 31  # of numbers as keys; larger ones could be chosen to have one hash


class PickleProblem(ValueError):
    """A pickle that is damaged, or asks for more than weights."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A flat array of the file: its key there, the type of its numbers and their count."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor as a view of a storage; offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Global:
    name: str


class _Mark:
    pass


class Source(Protocol):
    """What is needed of a file to read a pickle from it."""

    def read(self, count: int, /) -> bytes:
        """At most `count` bytes."""

    def readline(self) -> bytes:
        """The rest of the line."""


def read_pickle(source: bytes | Source) -> Any:
    """Reads one pickle: plain values, `Storage` and `TensorView` objects.

    Args:
        source: the pickle, or an open file that stands at its begin and then stands behind its end.

    Raises:
        PickleProblem: it is damaged, or needs anything but what weights need; the message names it.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(cast(Any, source)):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except PickleProblem:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as problem:
        raise PickleProblem(f"its pickle is damaged ({type(problem).__name__}: {problem})") from problem
    raise PickleProblem("its pickle has no end")


class _Machine:
    """The stack and the memo of a pickle; containers are plain ones, whatever class the pickle says."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def count(self, steps: int) -> None:
        """Counts operations, and what they copy from the memo, which costs a pickle no bytes."""
        self.steps += steps
        check("pickle_steps", self.steps, "its pickle has", PickleProblem)

    def pop(self) -> Any:
        return self.stack.pop()

    def step(self, name: str, argument: Any) -> None:
        self.count(1)
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _PUSHES:
            self.stack.append(argument)
        elif name in _MEMO_PUTS:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in _MEMO_GETS:
            self.stack.append(self.memo[argument])
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in _IGNORED:
            raise PickleProblem(f"its pickle uses {name}, which weights do not need; it may be code, and is not run")

    def to_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(item := self.stack.pop(), _Mark):
            items.append(item)
        return items[::-1]

    def find(self, module: Any, name: Any) -> None:
        full = f"{module} {name}"
        if full not in _GLOBALS:
            shown = full.replace(" ", ".")[:200]
            raise PickleProblem(f"its pickle asks for {shown}, which weights do not need; it may be code, not run")
        self.stack.append(_Global(full))

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise PickleProblem("its pickle calls what is no function")
        if function.name == _ORDERED_DICT:
            pairs = arguments[0] if arguments else []
            self.count(len(pairs))
            self.stack.append({_key(key): value for key, value in pairs})
        elif function.name == _TENSOR:
            self.stack.append(_view(*arguments[:4]))
        elif function.name == _PARAMETER and isinstance(arguments[0], TensorView):
            self.stack.append(arguments[0])
        else:
            raise PickleProblem(f"its pickle calls {function.name}")

    def make(self) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        if not isinstance(cls, _Global) or cls.name not in _DICTIONARIES or arguments != ():
            raise PickleProblem("its pickle uses NEWOBJ for what is no dictionary; it may be code, and is not run")
        self.stack.append({})

    def set_items(self, items: Sequence[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise PickleProblem("its pickle fills what is no dictionary")
        target.update((_key(key), value) for key, value in zip(items[::2], items[1::2], strict=True))

    def extend(self, items: Sequence[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise PickleProblem("its pickle fills what is no list")
        target.extend(items)

    def build(self) -> None:
        """The attributes of an OrderedDict, such as the versions of modules, hold no weights."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise PickleProblem("its pickle sets attributes of what is no dictionary")


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "MARK": _Mark,
}
_PUSHES = {"INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"}
_PUSHES |= {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"}
_MEMO_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_MEMO_GETS = {"GET", "BINGET", "LONG_BINGET"}
_IGNORED = {"PROTO", "FRAME"}


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def make(machine: _Machine, argument: Any) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(items[::-1]))

    return make


_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": lambda m, a: m.stack.append(tuple(m.to_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "LIST": lambda m, a: m.stack.append(m.to_mark()),
    "DICT": lambda m, a: m.stack.append({_key(k): v for k, v in _pairs(m.to_mark())}),
    "APPEND": lambda m, a: m.extend([m.pop()]),
    "APPENDS": lambda m, a: m.extend(m.to_mark()),
    "SETITEM": lambda m, a: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, a: m.set_items(m.to_mark()),
    "GLOBAL": lambda m, a: m.find(*a.split(" ", 1)),
    "STACK_GLOBAL": lambda m, a: m.find(*[m.pop(), m.pop()][::-1]),
    "REDUCE": lambda m, a: m.reduce(),
    "NEWOBJ": lambda m, a: m.make(),
    "BUILD": lambda m, a: m.build(),
    "BINPERSID": lambda m, a: m.stack.append(_storage(m.pop())),
}


def _pairs(items: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _key(key: Any) -> Any:
    """A dictionary's key; nested tuples could be made that take for ever to hash."""
    if isinstance(key, str) or (isinstance(key, int) and -_KEY_LIMIT < key < _KEY_LIMIT):
        return key
    raise PickleProblem("its pickle has a dictionary whose keys are no names or numbers of things")


def _storage(identity: Any) -> Storage:
    """What torch's persistent id `("storage", class, key, device, count, ...)` stands for."""
    kind, storage, key, _, count = identity[:5]
    if any(identity[5:6]):  # of torch before 0.4, a part of another storage
        raise PickleProblem("its pickle refers to parts of storages, which torch no longer writes")
    if kind != "storage" or not isinstance(storage, _Global) or not isinstance(key, str) or not _is_size(count):
        raise PickleProblem("its pickle refers to data in an unknown way")
    return Storage(key, STORAGES[storage.name.removeprefix("torch ")], count)


def _view(storage: Any, offset: Any, shape: Any, strides: Any) -> TensorView:
    if not isinstance(storage, Storage) or not _is_size(offset) or len(shape) != len(strides):
        raise PickleProblem("its pickle holds a tensor that is none")
    check("dimensions", len(shape), "a tensor of its pickle has", PickleProblem)
    if not all(_is_size(value) for value in (*shape, *strides)):
        raise PickleProblem("its pickle holds a tensor with impossible sizes")
    return TensorView(storage, offset, tuple(shape), tuple(strides))


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < _SIZE_LIMIT


def write_pickle(tensors: Iterable[tuple[str, tuple[int, ...], str]]) -> bytes:
    """The `data.pkl` of a state dictionary of contiguous tensors.

    Args:
        tensors: name, shape and dtype of each; the key of its storage is its number.
    """
    out = [b"\x80\x02", b"ccollections\nOrderedDict\n)R("]
    for key, (name, shape, dtype) in enumerate(tensors):
        count, strides = 1, []
        for length in reversed(shape):
            strides.append(count)
            count *= length
        out += [
            _text(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            *(_text("storage"), f"ctorch\n{_STORAGE_OF[dtype]}\n".encode(), _text(str(key)), _text("cpu")),
            *(_number(count), b"tQ"),
            *(_number(0), _numbers(shape), _numbers(strides[::-1]), b"\x89"),
            b"ccollections\nOrderedDict\n)RtR",
        ]
    return b"".join([*out, b"u."])


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def _number(value: int) -> bytes:
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + len(data).to_bytes(1, "little") + data


def _numbers(values: Sequence[int]) -> bytes:
    return b"".join([b"(", *map(_number, values), b"t"])
