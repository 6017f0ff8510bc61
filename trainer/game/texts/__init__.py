"""Texts to the model and from it: prompts, parsing of responses, cleaning of programs."""
