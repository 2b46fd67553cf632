"""The tables `tls` of a configuration, wherever they stand."""

from collections.abc import Iterator, Sequence

from relay.config.model import Config
from relay.core.keys import Keys
from relay.core.tls import SYSTEM, DestinationTls

_CERTIFICATES = ("certificate", "ca", "client_ca")


def tls_tables(config: Config) -> Iterator[tuple[str, Keys]]:
    """Each with the table that it stands in, such as `destinations.siem`."""
    for section in ("listeners", "destinations"):
        for name, component in getattr(config, section).items():
            if (table := getattr(component, "tls", None)) is not None:
                yield f"{section}.{name}", table
    if config.admin and config.admin.tls is not None:
        yield "admin", config.admin.tls


def certificate_files(config: Config) -> Sequence[str]:
    """The files of certificates and of authorities, each once; those of the system left aside."""
    names = [getattr(table, key, None) for _, table in tls_tables(config) for key in _CERTIFICATES]
    return list(dict.fromkeys(it for it in names if it and it != SYSTEM))


def unverified(config: Config) -> Sequence[str]:
    """The destinations that anybody may be."""
    return [
        where.removeprefix("destinations.")
        for where, table in tls_tables(config)
        if isinstance(table, DestinationTls) and not table.verify
    ]
