"""RELP, the Reliable Event Logging Protocol (https://www.rsyslog.com/doc/relp.html), without IO."""
