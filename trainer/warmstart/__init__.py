"""A small model to start self-play from: made here, of programs that are made here."""
