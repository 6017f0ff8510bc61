"""The game of Absolute Zero: tasks, prompts, rewards and TRR++, in plain Python.

Nothing here imports veRL, torch, Ray or Hydra: the parts can be read, tested and used alone. A
:class:`~trainer.game.policy.Policy` stands for the model, a
:class:`~trainer.game.play.judging.TaskJudge` for the executor. From the bottom up:

* :mod:`~trainer.game.tasks`: what is proposed and solved, and the buffers that keep it;
* :mod:`~trainer.game.texts`: prompts, and what is read from the model's responses;
* :mod:`~trainer.game.rules`: rewards, learnability and TRR++, as the paper has them;
* :mod:`~trainer.game.play`: a step of self-play, seeding, and validation.
"""
