"""The public API: the executor of this process, its blocking form, several compared."""
