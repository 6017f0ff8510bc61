"""The envelope of every request, whatever its route."""
