"""Energy and area: counted actions and simulated time, times one table (SEMANTICS 3)."""
