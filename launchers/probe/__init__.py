"""Language models to put questions to: one protocol, and what stands behind it."""
