"""Pairs of images and the answers about them."""
