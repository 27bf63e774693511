"""Argo Workflows: starts runs as Workflows and follows them, by the Kubernetes API."""
