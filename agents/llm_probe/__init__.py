"""Studies of language models: what is asked, and what the answers say.

Pure functions; a model comes in as a function that scores text.
"""
