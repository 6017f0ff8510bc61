"""The game of Absolute Zero: tasks, prompts, rewards and TRR++, in plain Python.

Nothing here imports veRL, torch, Ray or Hydra: the parts can be read, tested and used alone. A
:class:`~trainer.game.selfplay.Policy` stands for the model, a
:class:`~trainer.game.judging.TaskJudge` for the executor.
"""
