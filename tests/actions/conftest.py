"""A product whose main branch pins a model, with three pull requests; and the interpreter that actions install."""

import runpy
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest
from gating import FIRST, SECOND, Product, narrower_licence, other_weights, product

ROOT = Path(__file__).parents[2]
ACTIONS = ROOT / ".github" / "actions"


@dataclass(frozen=True, kw_only=True)
class PullRequests:
    """A product and the heads of its pull requests, by what they do."""

    product: Product
    base: str
    heads: dict[str, str]


@pytest.fixture(scope="session")
def pull_requests(tmp_path_factory: pytest.TempPathFactory) -> PullRequests:
    """The three histories; look at them, and commit only to copies."""
    made = product(tmp_path_factory.mktemp("product"))
    heads = {}
    for name, edit, revision in (
        ("clean upgrade", other_weights, SECOND),
        ("changed in place", other_weights, FIRST),
        ("licence narrowed", narrower_licence, SECOND),
    ):
        made.branch(name.replace(" ", "-"))
        made.pin(edit, revision=revision)
        heads[name] = made.repo.commit(name)
    return PullRequests(product=made, base=made.repo.git("rev-parse", "main"), heads=heads)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment as install.py makes it, without what it would download.

    The packages come from the environment that the tests run in, and mbom from this tree, through the same file that
    the action writes.
    """
    folder = tmp_path_factory.mktemp("installed") / "environment"
    install = runpy.run_path(str(ACTIONS / "install.py"))
    python: Path = install["make"](folder, with_pip=False)
    install["link"](folder, ROOT, Path(sysconfig.get_paths()["purelib"]))
    assert sys.version_info >= (3, 11)
    return python
