"""The closed value grammar: which values exist for the executor, as bytes and as text.

Pure functions, standard library only. Each module is imported by its own name, so that a sandbox
loads nothing but the encoder.

- ``encode``: value to bytes, by exact type; runs beside untrusted code.
- ``decode``: hostile bytes to value.
- ``compare``: equality of values, and where two values first differ.
- ``text``: value to canonical literal text.
- ``literals``: literal text to value, by syntax tree; nothing is evaluated.
- ``constructors``: the constructor calls that literal text may hold.
"""
