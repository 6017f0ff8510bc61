"""The HTTP API of SandboxFusion, served by this executor: its clients work unchanged."""
