"""What the models' attribute docstrings say, for the JSON Schema and the reference; read from
source when asked for."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from functools import cache

from pydantic import BaseModel


@cache
def meanings(model: type[BaseModel]) -> dict[str, str]:
    """YAML key -> its meaning in one paragraph. Keys without a docstring or description are not in
    it."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            found |= _attribute_docstrings(owner)
    result: dict[str, str] = {}
    for name, field in model.model_fields.items():
        text = found.get(name) or field.description
        if text:
            result[field.alias or name] = " ".join(text.split())
    return result


def purpose(model: type[BaseModel]) -> str:
    """The first paragraph of a model's own docstring."""
    return " ".join((model.__doc__ or "").strip().partition("\n\n")[0].split())


def _attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError):  # made at run time by create_model: its bases have the source
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        above.target.id: str(below.value.value)
        for above, below in itertools.pairwise(body)
        if isinstance(above, ast.AnnAssign)
        and isinstance(above.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
