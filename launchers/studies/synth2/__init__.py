"""Studies of Synth2: a captioner trained on pairs that nobody photographed."""
