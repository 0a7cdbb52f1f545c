"""A simulator of the object store protocol: one seed decides order, failures and time."""
