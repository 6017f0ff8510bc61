"""The sandboxfusion backend: guests behind the HTTP API of a SandboxFusion server."""
