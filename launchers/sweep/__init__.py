"""Many runs of one agent: settings by seeds, and one page about all of them."""
