"""Photographs with captions, writers of captions, and open parts from a local folder."""
