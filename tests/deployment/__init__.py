"""Image, compose.yaml and manifests: valid, and in step with the service."""
