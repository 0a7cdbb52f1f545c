"""The data contracts of pairmill: pure pyarrow schemas, versioned, imported by everything."""
