"""Studies of language models, on models of our own and on any other."""
