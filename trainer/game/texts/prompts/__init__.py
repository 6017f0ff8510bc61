"""Prompts: templates that a person can read and replace, and their rendering."""

from trainer.game.texts.prompts.render import PromptBook

__all__ = ["PromptBook"]
