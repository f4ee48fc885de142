"""What runs inside guests: the compiler for Python services and the libraries they link. Never trusted."""
