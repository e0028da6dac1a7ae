"""The verbs of the command: each reads its words and calls one public function."""
