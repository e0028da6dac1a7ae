"""Synth2: captions from a language model, images from a generator, a captioner of both.

Source: Sharifzadeh et al. 2024, "Synth2: Boosting Visual-Language Models with Synthetic
Captions and Image Embeddings", arXiv 2403.07750.
"""
