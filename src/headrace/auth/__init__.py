"""Who asks, and how a request proves it: signatures, and the sources of the credentials that make them."""
