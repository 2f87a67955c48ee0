"""BOMs of published models: every one of ``fixtures/models`` has a valid BOM that agrees with its inventory."""

import boms
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mbom import bom


def test_every_fixture_has_a_repository() -> None:
    assert sorted(path.name for path in boms.FIXTURES.iterdir() if path.is_dir()) == sorted(boms.REPOSITORIES)


@pytest.mark.parametrize("name", boms.REPOSITORIES)
def test_the_bom_of_a_published_model_is_valid(name: str) -> None:
    sample = boms.of(name)
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(sample.bom.decode()) is None
    assert bom.check(sample.bom, sample.inventory, sample.facts) == ()
