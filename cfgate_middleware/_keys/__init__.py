"""Keys: where they come from, which ones CloudFront accepts, and how they rotate."""
