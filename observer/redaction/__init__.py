"""Redaction: what must not be recorded is taken out before the journal is written."""
