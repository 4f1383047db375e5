"""Reads a pickle of plain values and of tensors by its opcodes.

Python's unpickler imports and calls what a pickle names. Here the opcodes are interpreted, and the
few names that files of tensors need stand for functions of this module; any other name ends the
reading.
"""
from collections.abc import Callable
import pickletools
from typing import Any, IO, NamedTuple

# Opcodes that push their argument, those that push another constant, and those without effect.
ARGUMENTS = {'BININT', 'BININT1', 'BININT2', 'INT', 'LONG', 'LONG1', 'LONG4', 'BINFLOAT', 'FLOAT',
             'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8', 'UNICODE', 'BINSTRING',
             'SHORT_BINSTRING', 'STRING', 'BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8'}
CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False, 'EMPTY_TUPLE': (),
             'EMPTY_SET': None}         # sets are left out
IGNORED = {'PROTO', 'FRAME'}
TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}


class ForeignName(Exception):
    """A pickle names something that is not in the table of known names."""


class Name(NamedTuple):
    """A function or class that a pickle names, by its module and name."""

    text: str


def load(file: IO[bytes], functions: dict[str, Callable], classes: set[str],
         persistent: Callable) -> Any:
    """Interprets one pickle, from the position of a file to its end.

    Args:
        file (io.BufferedIOBase): The file; it stays behind the pickle.
        functions (dict): What the pickle may call, by ``module.name``. A function takes the
            arguments in the pickle and must accept any.
        classes (set of str): What the pickle may name, but not call.
        persistent (callable): Takes the identifier of an object outside the pickle.

    Returns:
        object: Of numbers, texts, ``None``, lists, tuples, dicts, :class:`Name` and results of
        functions. Sets and attributes of objects are left out.

    Raises:
        ForeignName: If the pickle names anything else.
        ValueError: If it is none, is cut off, or uses opcodes that tensors do not need.
        IndexError, KeyError, TypeError: If its opcodes do not belong together.

    """
    machine = _Machine(functions, classes, persistent)
    for opcode, argument, _ in pickletools.genops(file):
        machine.run(opcode.name, argument)
    return machine.stack.pop()


class _Machine:

    """The stack and the numbered values of a pickle."""

    def __init__(self, functions, classes, persistent):
        self.functions, self.classes, self.persistent = functions, classes, persistent
        self.stack, self.outer, self.memo = [], [], {}

    def run(self, name, argument):
        if name in ARGUMENTS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLES:
            n = TUPLES[name]
            self.stack[-n:] = [(*self._last(n),)]
        elif name not in IGNORED:
            step = getattr(self, f'_{name.lower()}', None)
            if step is None:
                raise ValueError(f'the opcode {name} is not for weights')
            step(argument)

    def _last(self, n):
        if len(self.stack) < n:
            raise IndexError('the stack is too short')
        return self.stack[-n:]

    def _since_mark(self):
        items, self.stack = self.stack, self.outer.pop()
        return items

    def _mark(self, _):
        self.outer.append(self.stack)
        self.stack = []

    def _stop(self, _):
        if self.outer or len(self.stack) != 1:
            raise ValueError('the pickle is incomplete')

    def _empty_dict(self, _):
        self.stack.append({})

    def _empty_list(self, _):
        self.stack.append([])

    def _tuple(self, _):
        items = self._since_mark()
        self.stack.append((*items,))

    def _append(self, _):
        self._appends_of([self.stack.pop()])

    def _appends(self, _):
        self._appends_of(self._since_mark())

    def _appends_of(self, items):
        if not isinstance(self.stack[-1], list):
            raise TypeError('no list to append to')
        self.stack[-1].extend(items)

    def _additems(self, _):
        self._since_mark()

    def _setitem(self, _):
        pair = self._last(2)
        del self.stack[-2:]
        self._set(pair)

    def _setitems(self, _):
        self._set(self._since_mark())

    def _set(self, items):
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise TypeError('no dict to write into')
        for key, value in zip(items[::2], items[1::2]):
            # The hash of nested tuples can take for ever.
            if not isinstance(key, (str, int, float)):
                raise TypeError('a key is neither text nor a number')
            self.stack[-1][key] = value

    def _put(self, i):
        self.memo[i] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, i):
        self.stack.append(self.memo[i])

    _binget = _long_binget = _get

    def _global(self, names):
        self._push_name(names.replace(' ', '.', 1))

    def _stack_global(self, _):
        module, name = self._last(2)
        del self.stack[-2:]
        self._push_name(f'{module}.{name}' if isinstance(module, str) else '')

    def _push_name(self, text):
        if text not in self.functions and text not in self.classes:
            raise ForeignName(text)
        self.stack.append(Name(text))

    def _reduce(self, _):
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise TypeError('a call of what is no function')
        self.stack.append(self.functions[name.text](*arguments))

    _newobj = _reduce

    def _build(self, _):
        self.stack.pop()        # attributes, such as the version numbers of a state_dict

    def _binpersid(self, _):
        self.stack.append(self.persistent(self.stack.pop()))
