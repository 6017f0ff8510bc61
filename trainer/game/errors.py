"""Errors of the game.

    GameError
    ├── TemplateError       a prompt template that cannot be used
    ├── SeedError           seeds that cannot be read, or not be made
    ├── StateError          a saved state that cannot be restored
    ├── PromptTooLong       no prompt within the length limit can be built
    ├── RewardError         an intrinsic reward that does not exist, or failed
    └── ExecutorLost        the executor cannot be reached, in spite of waiting

A bad response of the model is an outcome, never an exception.
"""


class GameError(Exception):
    """Base of the game's errors; the text is a sentence for people."""


class TemplateError(GameError):
    """A prompt template is missing, or has wrong placeholders."""


class SeedError(GameError):
    """Seeds cannot be read, or the model makes none."""


class StateError(GameError):
    """A saved state is not one of this version."""


class PromptTooLong(GameError):
    """Not one prompt of a kind fits the length limit."""


class RewardError(GameError):
    """An intrinsic reward is not registered, or its own code failed."""


class ExecutorLost(GameError):
    """The executor cannot be reached; nothing of the step has been kept."""
