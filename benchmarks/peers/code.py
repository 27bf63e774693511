"""How many lines a user writes: those of a module that hold code and do not serve the measuring."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEASURING = {"costs", "family", "Cost"}  # names
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def lines_of(module: str, only: str = "") -> int:
    """Count the lines of a module, or of one function of it, without what is not counted."""
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    tree = ast.parse(source)
    counted = set(_with_code(source))
    if only:
        tree.body = [node for node in tree.body if getattr(node, "name", "") == only]
        counted &= set(_span(tree.body[0]))
    for node in _not_counted(tree):
        counted -= set(_span(node))
    return len(counted)


def _with_code(source: str) -> Iterator[int]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            yield from range(token.start[0], token.end[0] + 1)


def _not_counted(tree: ast.Module) -> Iterator[ast.stmt]:
    """Find documentation, imports of ours, the command, and whatever measures."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name="main") | ast.If(test=ast.Compare(left=ast.Name("__name__"))):
                yield node
            case ast.ImportFrom(module=str(module)) if module.startswith("benchmarks"):
                yield node
            case ast.Expr(value=ast.Constant()):
                yield node
            case ast.Expr() | ast.Assign() | ast.AnnAssign() if MEASURING & _names(node):
                yield node


def _names(node: ast.AST) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def _span(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)
