"""What the network computes under a policy, and which neurons it reuses or columns it skips (SEMANTICS 1)."""
