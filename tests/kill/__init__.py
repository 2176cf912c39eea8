"""Stages killed at random moments, and whether anything was lost."""
