"""The game as it is played: drawing, judging, a step of self-play, seeding, validation."""
