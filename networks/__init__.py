"""Memory cores, torsos and heads: the parts that a policy network is made of."""
