"""Audits: what is stored, proved against what the venues say elsewhere."""
