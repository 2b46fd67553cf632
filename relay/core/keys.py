"""The base of every TOML table."""

from pydantic import BaseModel, ConfigDict


class Keys(BaseModel):
    """A TOML table: frozen, and no other keys than these."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=False, validate_by_alias=True,
        use_attribute_docstrings=True,
    )  # fmt: skip
