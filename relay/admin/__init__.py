"""The admin server: metrics, health, the ledger and the memory rings over HTTP. Changes nothing."""
