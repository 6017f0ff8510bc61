"""The page at ``/``: three plain files, served as they are, without a build."""
