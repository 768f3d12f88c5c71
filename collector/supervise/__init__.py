"""Keeps one part's trouble from the others: what fails is told, counted and started again."""
