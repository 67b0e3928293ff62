"""How ``explain`` finds out: a text is read, hypotheses are written, and those that verify are reported."""
