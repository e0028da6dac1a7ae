"""What benches and studies both measure with: timed parts that take turns, fair sizes."""
