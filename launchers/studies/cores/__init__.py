"""Memory cores compared: one module a study."""
