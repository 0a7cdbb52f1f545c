"""What the labels of a snapshot say about themselves: counts that can be merged, and figures."""
