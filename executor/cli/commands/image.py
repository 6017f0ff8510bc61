"""The command ``image``."""

from __future__ import annotations

from executor.backends.image.build import open_image


def image() -> int:
    """Build the sandboxes' root file systems, if they are not built yet, and print their paths.

    Other commands build them when they need them. Run this where a later one may not write, as
    when a container image is built. They lie in the directory that EXECUTOR_CACHE names.
    """
    images = open_image()
    try:
        print(images.root)
        print(images.script_root)
    finally:
        images.close()
    return 0
