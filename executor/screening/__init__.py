"""Static checks of programs: quality rules."""
