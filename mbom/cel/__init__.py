"""Expressions in CEL (https://cel.dev), evaluated in a child process; ``pip install 'mbom[cel]'``."""
