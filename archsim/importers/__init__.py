"""Networks from elsewhere. Frameworks are optional and imported only here, when needed."""
