"""Stands in for packages that another imports and, for what is wanted of it here, does not use.

There is no CPU build of torchvision, and mmcv's operators need a compiler.
"""

import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any, ClassVar


class _AnyName(type):
    """Of classes that have every attribute, a text that says which."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class _Hollow(types.ModuleType):
    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if any(fullname == name or fullname.startswith(f"{name}.") for name in self.names):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Hollow(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def stand_in_for(*names: str) -> None:
    """Let `import name` succeed, and every class of it be empty."""
    sys.meta_path.insert(0, _Finder(names))
