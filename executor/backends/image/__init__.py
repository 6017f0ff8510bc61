"""Root file systems of jails and containers."""
