"""Models outside of a training run: their shapes, a tiny one, and generation with them."""
