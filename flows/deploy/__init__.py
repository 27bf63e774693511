"""Brings a flow to Argo Workflows: compiled by Metaflow, completed by us, applied or written.

Reached as `headrace deploy`, which starts `python -m flows.deploy` with a `Request` as JSON: this
room needs metaflow and kubernetes, which a service has not.
"""
