"""Absolute Zero self-play: propose, validate, estimate learnability, solve, reward, update."""
