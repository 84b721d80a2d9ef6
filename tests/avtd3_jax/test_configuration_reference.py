"""docs/configuration.md is what the dataclasses say."""

import dataclasses

from avtd3_jax.settings import reference


def test_the_page_is_current():
    assert reference.main(["--check"]) == 0, "run python -m avtd3_jax.settings.reference"


def test_every_field_is_described_in_its_class():
    assert list(reference.undescribed()) == []


def test_attributes_come_from_a_class_and_its_bases():
    @dataclasses.dataclass
    class Base:
        """A base.

        Attributes:
          first: one
            and more: of it.
        """

        first: int = 0

    @dataclasses.dataclass
    class Derived(Base):
        """Derived.

        Attributes:
          second, third: both.

        Raises:
          fourth: is no field.
        """

        second: int = 0
        third: int = 0

    assert reference.attributes(Derived) == {"first": "one and more: of it.", "second": "both.", "third": "both."}
