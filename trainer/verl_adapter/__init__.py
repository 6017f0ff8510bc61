"""All that this project knows of veRL, Ray and TransferQueue.

:mod:`~trainer.verl_adapter.contract` names what is used of veRL. The game (:mod:`trainer.game`)
and the rest of a run (:mod:`trainer.run`) know nothing of this package.
"""
