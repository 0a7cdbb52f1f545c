"""The gate: thresholds on a snapshot's figures that it must keep to before readers get it."""
