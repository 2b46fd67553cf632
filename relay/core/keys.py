"""The base of every TOML table.

What stands below a key in the source is its documentation; `config/schema.py` reads it when asked.
A table is built when it is first met: a file has few of all types. Both together save 90 ms of the
start.
"""

import os

from pydantic import BaseModel, ConfigDict

# Nobody's plugins have a part in the configuration. To find some, Pydantic would read what all
# installed packages say of themselves: 5 to 30 ms of the start.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"


class Keys(BaseModel):
    """A TOML table: frozen, and no other keys than these."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=False, validate_by_alias=True,
        defer_build=True,
    )  # fmt: skip
