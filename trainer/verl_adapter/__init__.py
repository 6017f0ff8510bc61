"""All that this project knows of veRL, Ray, TransferQueue and torch.

:mod:`~trainer.verl_adapter.contract` names what is used of veRL. The game (:mod:`trainer.game`)
knows nothing of this package.
"""
