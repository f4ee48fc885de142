"""Memory: frames with owners, and the bindings that let a guest use them. Trusted."""
