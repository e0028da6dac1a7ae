"""Episodes to be watched."""
