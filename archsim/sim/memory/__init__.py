"""The memories of the machine as contending resources."""
