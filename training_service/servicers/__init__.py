"""One class for each service of the contract: proto to domain, one unit of work, and back."""
