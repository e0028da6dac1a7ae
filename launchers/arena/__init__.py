"""Players against one another: matches, tournaments, ratings, engines and records."""
