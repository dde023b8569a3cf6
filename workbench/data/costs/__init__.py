"""What runs cost: a dated table of prices, the pricing of runs, and the ledger that adds them up."""
