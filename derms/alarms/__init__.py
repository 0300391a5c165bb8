"""Alarms as an operator meets them: raised, acknowledged, shelved, returned, kept over a restart, sent to a webhook."""
