"""What people call: the executor of this process, its blocking form, several compared."""
