"""Engines that play in a process of their own, spoken to by GTP, USI or UCI."""
