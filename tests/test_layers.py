"""Imports point down: a part may import only from the levels below its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "mbom"

# Bottom to top. Parts on one line are peers and may not import each other.
LEVELS = [
    {"errors"},
    {"digest", "printable", "quantities", "redact"},  # texts and numbers, which know nothing of models
    {"markdown", "storage", "strictjson"},
    {"tensorfile"},
    {"source", "signing", "behaviour"},
    {"inventory", "zipbundle"},
    {"ancestry", "facts"},
    {"attestation", "bom", "bundle", "engine", "verdict"},  # evidence, and the process that measures it
    {"cel", "dossier"},
    {"attest", "bases", "measure", "verify"},  # one model
    {"diff", "identify", "lockfile"},  # one model beside others
    {"policy"},
    {"gate"},
    {"report"},
    {"cli"},
    {"__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}

# Third-party packages that one part alone may import.
HOME = {
    "cel_expr_python": "cel",
    "click": "cli",
    "cryptography": "signing",
    "cyclonedx": "bom",
    "httpx2": "source",
    "huggingface_hub": "source",
    "jsonschema_rs": "bom",
    "jinja2": "engine",
    "pkcs11": "signing",
    "rfc3161_client": "signing",
    "rich": "cli",
    "sigstore": "signing",
    "tokenizers": "engine",
    "torch": "engine",
    "transformers": "engine",
}
# What a part needs of another's package: transformers' configurations raise errors of the hub client.
EXCEPT = {("engine", "huggingface_hub.errors.StrictDataclassError")}
# The facts read chat templates as syntax trees; the engine alone renders them.
EXCEPT |= {("facts", f"jinja2{name}") for name in ("", ".nodes", ".ext.Extension", ".ext.loopcontrols",
                                                   ".parser.Parser", ".runtime.Macro")}  # fmt: skip
# A report is written with templates of the package's own.
EXCEPT |= {("report", f"jinja2.{name}") for name in ("Environment", "PackageLoader", "StrictUndefined")}


def imports() -> Iterator[tuple[str, str, str]]:
    """Yield (importing part, imported name, "file:line") for every import."""
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(PACKAGE.parent)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield part, alias.name, where
            elif isinstance(node, ast.ImportFrom):
                assert node.module, f"{where}: relative import"
                assert node.level == 0, f"{where}: relative import"
                for alias in node.names:
                    yield part, f"{node.module}.{alias.name}", where


def test_every_part_has_a_level() -> None:
    parts = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p.is_dir() and any(p.glob("*.py")))}
    assert parts - {"__init__"} == set(LEVEL)


def test_imports_point_down() -> None:
    for part, name, where in imports():
        root, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if root == "mbom" and target in LEVEL and target != part:
            assert LEVEL[target] < LEVEL.get(part, 0), f"{where}: {part} imports {target}"


def test_third_party_packages_stay_home() -> None:
    for part, name, where in imports():
        home = HOME.get(name.partition(".")[0], part)
        assert home == part or (part, name) in EXCEPT, f"{where}: only mbom/{home} may import {name}"
