"""Static checks of programs: quality rules, and whether calls of a program may share a process."""
