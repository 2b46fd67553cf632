"""Loading the configuration for a command."""

from relay.cli.failure import ConfigMistake
from relay.config import Config, ConfigErrors, load


def load_or_fail(path: str) -> Config:
    """The configuration.

    Raises:
        ConfigMistake: with a line for each mistake.
    """
    try:
        return load(path)
    except ConfigErrors as errors:
        raise ConfigMistake("\n".join(map(str, errors.errors))) from errors
