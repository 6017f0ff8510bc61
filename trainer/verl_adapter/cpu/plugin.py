"""Entry point ``verl.plugins``: importing this module registers what a run on processors needs.

veRL logs a plug-in that fails to load at debug level and goes on; so the trainer asks
:func:`trainer.verl_adapter.contract.check_cpu_plugin` whether this one is really there.
"""

from trainer.verl_adapter.cpu import enabled

if enabled():
    from trainer.verl_adapter.cpu import patches, platform, rollout

    platform.register()
    patches.apply()
    rollout.register()
