"""A module's syntax tree without what changes no number: docstrings, `pass`, annotations, what type checkers import.

Annotations in the body of a class stay, because dataclasses are made of them.
"""

import ast
from pathlib import Path


def parse(path: Path) -> list[ast.stmt]:
    """The statements of the Python file at `path`."""
    return _Plain().visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))).body


class _Plain(ast.NodeTransformer):
    def __init__(self):
        self._in_class = False

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._inside(node, in_class=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._inside(node, in_class=False)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self._inside(node, in_class=False)

    def _inside(self, node: ast.AST, in_class: bool) -> ast.AST:
        outer, self._in_class = self._in_class, in_class
        node = self.generic_visit(node)
        self._in_class = outer
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self._in_class:
            node.annotation = _Unquoted().visit(node.annotation)
            return self.generic_visit(node)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], self.visit(node.value)), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        node = self.generic_visit(node)
        name = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", None)
        return node.orelse if name == "TYPE_CHECKING" else node


class _Unquoted(ast.NodeTransformer):
    """An annotation in quotes is the one without."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        try:
            inner = ast.parse(node.value, mode="eval").body
        except (SyntaxError, TypeError):
            return node
        return ast.copy_location(inner, node)
