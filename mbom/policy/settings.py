"""What a policy says for one model: the value of every key, and the line that it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass

from mbom.policy.decision import Place
from mbom.policy.keys import KEYS
from mbom.policy.kinds import Value


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The value of a key; ``pattern`` is that of the override which it stands in, None for the file itself."""

    value: Value
    place: Place
    pattern: str | None = None


@dataclass(frozen=True, kw_only=True)
class Override:
    """Other values for the models that a pattern means, by the way of each key through the file."""

    pattern: str
    place: Place
    settings: Mapping[str, Setting]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values for one model. A key that is nowhere in the file has its default, and no place.

    Attributes:
        given: what the file says.
        whole: the file itself, which is the place of defaults.
    """

    given: Mapping[str, Setting]
    whole: Place

    def place(self, path: str) -> Place:
        """Return the line that says what a key is; the first one of the file for a default."""
        return self.given[path].place if path in self.given else self.whole

    def has(self, path: str) -> bool:
        """Tell whether a key has a value, be it a default."""
        return self.value(path) is not None

    def value(self, path: str) -> Value | None:
        """Return the value of a key; None where nothing is asked."""
        return self.given[path].value if path in self.given else KEYS[path].default

    def flag(self, path: str) -> bool:
        """Return the value of a key that is true or false."""
        value = self.value(path)
        assert isinstance(value, bool)
        return value

    def word(self, path: str) -> str | None:
        """Return the value of a key that is a word."""
        value = self.value(path)
        assert value is None or isinstance(value, str)
        return value

    def words(self, path: str) -> tuple[str, ...] | None:
        """Return the value of a key that is a list of words; None where it is nowhere, which an empty list is not."""
        value = self.value(path)
        assert value is None or isinstance(value, tuple)
        return value

    def number(self, path: str) -> float | None:
        """Return the value of a key that is a number."""
        value = self.value(path)
        assert value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        return value
