"""The keys of a verb's settings, read from the source: nothing is imported, so it is quick.

The comment above a field says what it means; fields below it without one share it.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

from ambient_policy.workflows import VERBS, settings_name


@dataclass(frozen=True)
class Key:
    """One key, or an object of keys."""

    # dotted; <name> stands for a name that the user chooses, [] for each entry of a list
    name: str
    # in words; empty for an object, whose keys follow
    kind: str
    # as it is typed; empty where a value must be given
    default: str
    # what the comment above it says
    meaning: str
    # of an enum: each word with its comment
    words: dict[str, str]
    # whether the comment is that of the key before it
    shared: bool = False


@dataclass(frozen=True)
class Module:
    """A file of source."""

    path: Path

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """Its statements."""
        return ast.parse(self.text)

    @cached_property
    def comments(self) -> dict[int, tuple[str, bool]]:
        """Line -> comment, and whether nothing else stands in the line."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {
            token.start[0]: (token.string.lstrip("# "), not token.line[: token.start[1]].strip())
            for token in tokens
            if token.type == tokenize.COMMENT
        }

    def above(self, line: int) -> str:
        """The comment whose last line is above a line."""
        texts: list[str] = []
        while (line := line - 1) in self.comments and self.comments[line][1]:
            texts.insert(0, self.comments[line][0])
        return " ".join(texts)

    def beside(self, line: int) -> str:
        """The comment at the end of a line."""
        text, alone = self.comments.get(line, ("", True))
        return "" if alone else text

    def find(self, name: str) -> "tuple[Module, ast.stmt] | None":
        """Where a name is defined, here or where it is imported from."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return self, node
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                return self, node
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    if (alias.asname or alias.name) == name and (other := module(node.module)):
                        return other.find(alias.name)
        return None

    def find_class(self, name: str) -> "tuple[Module, ast.ClassDef] | None":
        """The same for a class; None for anything else."""
        definition = self.find(name)
        return (
            (definition[0], definition[1])
            if definition and isinstance(definition[1], ast.ClassDef)
            else None
        )


@cache
def module(name: str) -> Module | None:
    """The source of a module of ours; None of others."""
    top, *rest = name.split(".")
    if not top.startswith("ambient_"):
        return None
    spec = find_spec(top)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        place = Path(folder, *rest)
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return Module(path)
    return None


def function(verb: str) -> tuple[Module, ast.FunctionDef]:
    """Where the work of a verb is defined.

    Raises:
        LookupError: if its module has no such function.
    """
    source = module(f"ambient_policy.workflows.{VERBS[verb]}")
    definition = source.find(verb) if source is not None else None
    if definition is None or not isinstance(definition[1], ast.FunctionDef):
        raise LookupError(verb)
    return definition[0], definition[1]


def docstring(verb: str) -> str:
    """What a verb does."""
    try:
        return ast.get_docstring(function(verb)[1]) or ""
    except LookupError:
        return ""


def keys(verb: str) -> list[Key]:
    """Every key of a verb's settings; none for a verb that reads its words itself."""
    source, node = function(verb)
    argument = node.args.args[0]
    composed = argument.arg == "settings" and argument.annotation is not None
    name = ast.unparse(argument.annotation) if composed else settings_name(verb)  # type: ignore[arg-type]
    return list(_of_class(source, name, ""))


def _of_class(source: Module, name: str, prefix: str) -> Iterator[Key]:
    """The keys of a class of settings: of those it is built on, then its own."""
    definition = source.find_class(name)
    if definition is None:
        return
    source, node = definition
    for base in reversed(node.bases):  # as dataclasses collect them
        yield from _of_class(source, ast.unparse(base), prefix)
    meaning = ""
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item.annotation):
            own = source.above(item.lineno)
            meaning = own or meaning
            yield from _of_field(source, item, prefix, meaning, not own)
            if _settings(source, item.annotation):
                meaning = ""


def _of_field(
    source: Module, item: ast.AnnAssign, prefix: str, meaning: str, shared: bool
) -> Iterator[Key]:
    """One key; for an object the keys in it too."""
    name = f"{prefix}{ast.unparse(item.target)}"
    inner = _settings(source, item.annotation)
    if inner is None:
        kind, words, about = _kind(source, item.annotation)
        alone = shared and bool(about)
        text = about if alone else meaning
        yield Key(name, kind, _default(item.value), text, words, shared and not alone)
        return
    where, words_of = inner
    definition = source.find_class(words_of)
    about = (ast.get_docstring(definition[1]) if definition else None) or ""
    text = about.split("\n\n")[0].replace("\n", " ") if shared else meaning
    yield Key(name, "", _default(item.value) if where else "", text, {})
    changed = _changed_defaults(item.value, name)
    for key in _of_class(source, words_of, f"{name}{where}."):
        yield replace(key, default=changed.get(key.name, key.default))


def _changed_defaults(value: ast.expr | None, name: str) -> dict[str, str]:
    """Keys of an object whose default the field that holds it changes."""
    factory = value.keywords[0].value if isinstance(value, ast.Call) and value.keywords else None
    call = factory.body if isinstance(factory, ast.Lambda) else None
    words = call.keywords if isinstance(call, ast.Call) else []
    return {f"{name}.{word.arg}": _default(word.value) for word in words}


def _settings(source: Module, annotation: ast.expr) -> tuple[str, str] | None:
    """For a field that holds objects of settings: how its keys go on, and the class."""
    place, inner = "", annotation
    if isinstance(annotation, ast.Subscript):
        outer = ast.unparse(annotation.value)
        if outer == "dict" and isinstance(annotation.slice, ast.Tuple):
            place, inner = ".<name>", annotation.slice.elts[1]
        elif outer in ("list", "Sequence"):
            place, inner = "[]", annotation.slice
    name = _unworded(ast.unparse(inner)).removesuffix(" | None")
    definition = source.find_class(name)
    return None if definition is None or _is_enum(definition[1]) else (place, name)


def _is_enum(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("Enum") for base in node.bases)


def _kind(source: Module, annotation: ast.expr) -> tuple[str, dict[str, str], str]:
    """A type in words; of an enum its words and what it is about."""
    text = _unworded(ast.unparse(annotation))
    bare = text.removesuffix(" | None")
    ending = "" if bare == text else " or null"
    if enum := source.find_class(bare):
        where, node = enum
        lines = {
            ast.unparse(item.targets[0]): where.beside(item.lineno)
            for item in node.body
            if isinstance(item, ast.Assign)
        }
        return f"one of these{ending}", lines, (ast.get_docstring(node) or "").split("\n")[0]
    if alias := source.find(bare):  # such as Threshold
        return f"{bare.lower()}{ending}", {}, alias[0].above(alias[1].lineno)
    return f"{_plain(bare)}{ending}", {}, ""


def _unworded(text: str) -> str:
    """The type in Word[...], which a field of words has."""
    return text.removeprefix("Word[").removesuffix("]") if text.startswith("Word[") else text


def _plain(text: str) -> str:
    words = {"str": "text", "bool": "true or false", "Any": "any value", "float": "number"}
    words |= {"int": "whole number"}
    if text.startswith("list[") and text.endswith("]"):
        return f"list of {_plain(text[5:-1])}"
    if text.startswith("tuple["):
        return "list"
    if text.startswith("dict["):
        return "{name: " + _plain(text.partition(", ")[2][:-1]) + "}"
    return words.get(text, text)


def _default(value: ast.expr | None) -> str:
    """As it would be typed; empty for ???."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "word":
        return _default(value.args[0])
    if isinstance(value, ast.Call):
        inner = next((word.value for word in value.keywords), None)
        if isinstance(inner, ast.Lambda):
            return _default(inner.body)
        return {"list": "[]", "dict": "{}"}.get(ast.unparse(inner) if inner else "", "")
    if isinstance(value, ast.Attribute):
        return value.attr
    if isinstance(value, ast.List | ast.Tuple):
        return f"[{', '.join(map(_default, value.elts))}]"
    if isinstance(value, ast.Constant):
        plain = {"None": "null", "True": "true", "False": "false", "": "''", "???": ""}
        return plain.get(str(value.value), str(value.value))
    return "" if value is None else ast.unparse(value)
