"""What judging means, without Ray, engines or GPUs: pure and testable on ten rows."""
