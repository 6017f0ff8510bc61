"""Entry point ``verl.plugins``: importing this module registers what a run on processors needs.

Every process that imports veRL loads it, and most never load a model: what is ours is put in where
a module of veRL is imported, and none is imported for that.

veRL logs a plug-in that fails to load at debug level and goes on; so the trainer asks
:func:`trainer.verl_adapter.contract.check_cpu_plugin` whether this one is really there.
"""

from trainer.verl_adapter.cpu import enabled

if enabled():
    from trainer.verl_adapter.cpu import patches, platform, rollout_name

    platform.register()
    rollout_name.register()
    patches.apply()
