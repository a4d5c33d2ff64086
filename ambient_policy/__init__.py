"""Diffusion policies from good and bad robot demonstrations."""
