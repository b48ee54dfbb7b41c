"""The options of a user's own method, which no model describes."""

from typing import Any


class MissingOptionError(KeyError):
    """A class reads an option that its row does not give: the option, and those that are given."""

    def __str__(self) -> str:
        """What is missing, and the mend."""
        name, given = self.args
        return f"option {name!r}, which is missing (given: {given}); write `{name}: …` into the method's options"


class OwnOptions(dict[str, Any]):
    """A dict that tells an absent option from any other absent key."""

    def __missing__(self, name: str) -> Any:
        raise MissingOptionError(name, ", ".join(self) or "none")

    def pop(self, name: str, *default: Any) -> Any:
        """As a dict's."""
        return super().pop(name, *default) if default or name in self else self[name]
