"""TLS over the connection port, and the certificates it needs."""

from relay.system.tls.contexts import SystemTls

__all__ = ["SystemTls"]
