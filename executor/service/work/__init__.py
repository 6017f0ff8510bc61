"""Who may work now, what came of it, and whether the service is ready."""
