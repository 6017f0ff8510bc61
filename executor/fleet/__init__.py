"""Several executors as one: processes of this machine, and whatever else can be given items."""
