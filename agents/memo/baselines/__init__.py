"""What MEMO is compared with: three models of the same interface."""
