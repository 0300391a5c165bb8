"""Policies: one file each; `PLUGS` names them all. Pure."""
