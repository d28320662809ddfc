"""What names stand for while an old and a new definition are walked through together."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager

from tools.equivalents.code import Code, Foreign, Module, Part
from tools.equivalents.outcome import NEW, OLD, Found, Frame, Mismatch, Outcome, Reference, named
from tools.equivalents.scopes import Scope


class Bindings:
    """The scopes around the place where a walk is, and its outcome so far. `frame` is the outermost: the names of the
    scripts around two definitions."""

    def __init__(self, codes: tuple[Code, Code], modules: tuple[Module, Module], frame: Frame, name: str):
        self.codes, self.modules, self.name = codes, modules, name
        self.frames = [frame]
        self.outcome = Outcome()
        self.lines = (1, 1)

    def _bound(self, old: str, new: str) -> None:
        a, b = self._resolved(old, OLD), self._resolved(new, NEW)
        if not (isinstance(a, int) and isinstance(b, int)):
            self._meet(*(None if isinstance(what, int) else what for what in (a, b)))
        elif a != b:
            raise Mismatch(f"{old} became {new}, of another function")
        elif self.frames[a].scopes[OLD].is_class:
            self._member(old, new)
        elif not self.frames[a].same(old, new):
            raise Mismatch(f"the name {old} became {new}, but not everywhere")

    def _member(self, old: str, new: str) -> None:
        if old != new:
            self.outcome.renames.append((old, new, self._found(f"{old} became {new}")))

    def _meet(self, old: Reference | None, new: Reference | None) -> None:
        """Note that two references must stand for equal things."""
        match old, new:
            case Part(), Part() if old.index == new.index:
                self.outcome.meets.append((old.definition, new.definition))
            case Module(), Module() if set(old.defined) == set(new.defined):  # the module itself, as a value
                for name in old.defined:
                    self.outcome.meets.append((old.defined[name], new.defined[name]))
            case Foreign(), Foreign() if old == new:
                if old == Foreign("__file__", is_free=True) and self._path(OLD) != self._path(NEW):
                    raise Mismatch("__file__ in a file that was moved")
            case _:
                raise Mismatch(f"{named(old)} became {named(new)}")

    def _reference(self, node: ast.AST, side: int) -> Reference | None:
        """What a name or a dotted name outside the walked functions stands for, None for all else."""
        if isinstance(node, ast.Name):
            what = self._resolved(node.id, side)
            return None if isinstance(what, int) else what
        if isinstance(node, ast.Attribute):
            owner = self._reference(node.value, side)
            if isinstance(owner, Module) or (isinstance(owner, Foreign) and not owner.is_free):
                return self.codes[side].attribute(owner, node.attr)
        return None

    def _resolved(self, name: str, side: int) -> int | Reference:
        """The number of the frame that binds `name`, or what it stands for outside."""
        for depth in reversed(range(len(self.frames))):
            scope = self.frames[depth].scopes[side]
            if scope.is_class and depth < len(self.frames) - 1:
                continue  # a method does not see the names of its class
            if name in scope.names:
                return depth
            if name in scope.imports:
                return self.codes[side].imported(scope.imports[name])
        return self.codes[side].lookup(self.modules[side], name)

    @contextmanager
    def _inside(self, scopes: tuple[Scope, Scope], *parameters: list[str]) -> Iterator[None]:
        """Within functions with these scopes and parameters, old and new."""
        old, new = parameters or ([], [])
        self.frames.append(Frame(scopes, dict(zip(old, new, strict=True)), dict(zip(new, old, strict=True))))
        try:
            yield
        finally:
            self.frames.pop()

    def _path(self, side: int) -> str:
        return self.modules[side].path.relative_to(self.codes[side].scripts).as_posix()

    def _found(self, what: str, nowhere: tuple[bool, bool] = (False, False)) -> Found:
        places = (f"{self._path(side)}:{self.lines[side]}" for side in (OLD, NEW))
        return Found(
            *("-" if none else place for none, place in zip(nowhere, places, strict=True)), f"{self.name}: {what}"
        )
