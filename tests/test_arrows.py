"""Who may import whom: workflows -> datasets, envs -> the method, never back (read with ast)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# folder or file -> what it must not import
FORBIDDEN = {
    "ambient_policy": {"scripts"},
    "ambient_policy/training": {"ambient_policy.evaluation"},
    "ambient_policy/evaluation": {"ambient_policy.training"},
    "envs": {"torch", "zarr", "hydra", "omegaconf", "wandb", "ambient_datasets"},
    "datasets": {"mujoco", "hydra", "omegaconf", "wandb"},
}
# module -> the only files (or folders) that may import it
WORK = "ambient_policy/workflows"
ONLY_IN = {
    "ambient_policy.workflows": {
        WORK,
        "ambient_policy/cli.py",
        "ambient_policy/__init__.py",
        "tests",
    },
    "ambient_policy.cli": {"ambient_policy/__main__.py", "scripts", "tests"},
    "ambient_datasets": {"datasets", WORK, "ambient_policy/__init__.py", "tests"},
    "ambient_envs": {"envs", "datasets/ambient_datasets/collect.py", WORK, "tests"},
    "hydra": {f"{WORK}/settings.py", f"{WORK}/refusals.py", "tests"},
    "omegaconf": {f"{WORK}/settings.py", f"{WORK}/refusals.py", "tests"},
    "wandb": {"ambient_policy/tracking.py", "tests"},
    "mujoco": {"envs", "tests"},
    "zarr": {"datasets", "tests"},
    "pickle": {"tests/datasets/guards/test_codecs.py"},
}
FILES = sorted(
    path.relative_to(ROOT)
    for top in ("ambient_policy", "envs", "datasets", "scripts", "tests")
    for path in (ROOT / top).rglob("*.py")
)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: name the package, not dots"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(path: Path, folder: str) -> bool:
    return path == Path(folder) or Path(folder) in path.parents


def matches(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_imports_only_along_the_arrows(path: Path) -> None:
    modules = list(imports(path))
    forbidden = {n for folder, names in FORBIDDEN.items() if within(path, folder) for n in names}
    forbidden |= {n for n, places in ONLY_IN.items() if not any(within(path, p) for p in places)}
    assert [module for module in modules if matches(module, forbidden)] == []


def test_more_than_six_arguments_are_a_missing_value() -> None:
    many = [
        f"{path}: {node.name}"
        for path in FILES
        if not path.is_relative_to("tests")
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.FunctionDef)
        and len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
        - (node.args.args[:1] != [] and node.args.args[0].arg in ("self", "cls"))
        > 6
    ]
    assert many == []


def test_no_file_evaluates_text_as_code() -> None:
    calls = [
        (path, node.lineno)
        for path in FILES
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"eval", "exec"}
    ]
    assert calls == []
