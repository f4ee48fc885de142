"""denali-py: an isolation kernel for small guests."""
