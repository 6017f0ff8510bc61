"""Library sets: third-party packages for programs, by name."""
