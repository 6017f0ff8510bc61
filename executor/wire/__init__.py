"""Bytes to and from guests: the host's half of each protocol, and what both halves share."""
