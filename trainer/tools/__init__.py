"""Commands around a training run: ``python -m trainer.tools.NAME``."""
