"""Training loops in the shape of other libraries, to be measured beside ours."""
