"""Asking people about pairs of faces: a durable log of answers, who is asked what, and a local web page.

Everything but server.py works without the extra `label`.
"""
