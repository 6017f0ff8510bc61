"""Programs that the host sends into a sandbox as text, to start what is to run there."""
