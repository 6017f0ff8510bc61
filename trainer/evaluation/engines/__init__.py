"""Ways to have a model answer: transformers, vLLM, and a server that others run."""
